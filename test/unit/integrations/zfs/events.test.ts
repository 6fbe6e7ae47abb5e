import test from 'ava';
import fc from 'fast-check';
import { EventParser } from '../../../../src/integrations/zfs/events.ts';

const OUTPUT = `Nov 30 2026 07:46:11.845870834\tsysevent.fs.zfs.pool_create
        version = 0x0
        class = "sysevent.fs.zfs.pool_create"
        pool = "p q"
        pool_guid = 0x63f847fa60c9eb99
        vdev = (embedded nvlist)
                pool = "inner"
        (end vdev)
        time = 0x6b0d29c3 0x326af6f2 
        eid = 0x1f

dropped 3 events
Dec  1 2026 07:46:12.845870834\tereport.fs.zfs.io_failure
        history_internal_str = "a
        pool = "forged"
b"
        eid = 0x20

`;
const EVENTS = [
  { class: 'sysevent.fs.zfs.pool_create', pool: 'p q', id: 31n },
  { class: 'dropped', pool: undefined, id: undefined },
  { class: 'ereport.fs.zfs.io_failure', pool: 'forged', id: 32n },
];

test('events are read in whatever pieces they come', (t) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (sizes) => {
      const parser = new EventParser();
      const events = [];
      for (let at = 0, turn = 0; at < OUTPUT.length; turn++) {
        const size = sizes[turn % sizes.length] ?? 1;
        events.push(...parser.push(OUTPUT.slice(at, at + size)));
        at += size;
      }
      t.deepEqual(events, EVENTS);
    }),
  );
});

test('an endless line takes bounded memory', (t) => {
  const parser = new EventParser();
  for (let count = 0; count < 100; count++) t.deepEqual(parser.push('x'.repeat(100_000)), []);
  t.deepEqual(parser.push('\n').length + parser.push(OUTPUT).length, EVENTS.length);
});
