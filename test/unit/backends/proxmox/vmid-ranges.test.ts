import test from 'ava';
import { rangeOf, rangeText, vmidRanges } from '../../../../src/backends/proxmox/guests/vmid-ranges.ts';

/** What is wrong with a table, by field. */
function problems(table: unknown): string[] {
  const { error } = vmidRanges.safeParse(table);
  return error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? [];
}

test('a node has 300 VMIDs unless configured', (t) => {
  const ranges = vmidRanges.parse({ pve1: { first: 10_000 }, pve2: { first: 10_300, size: 50 } });
  t.is(rangeText(rangeOf('pve1', ranges, 'vmids')), '10000-10299');
  t.is(rangeText(rangeOf('pve2', ranges, 'vmids')), '10300-10349');
});

test('overlapping ranges name the field and a free place', (t) => {
  t.deepEqual(problems({ pve1: { first: 10_000 }, pve2: { first: 10_299 }, pve3: { first: 500, size: 10 } }), [
    'pve2.first: must not lie in the range of pve1 (10000-10299); 10599 and above are free',
  ]);
  t.deepEqual(
    problems({ wide: { first: 1000, size: 1000 }, a: { first: 1100, size: 1 }, b: { first: 1500, size: 1 } }),
    [
      'a.first: must not lie in the range of wide (1000-1999); 2000 and above are free',
      'b.first: must not lie in the range of wide (1000-1999); 2000 and above are free',
    ],
  );
});

test('ranges lie where Proxmox has VMIDs', (t) => {
  t.deepEqual(problems({ pve1: { first: 999_999_900 } }), ['pve1.first: must be at most 999999700 with a size of 300']);
  t.is(problems({ pve1: { first: 99 } }).length, 1);
  t.is(problems({ pve1: { first: 100, size: 0 } }).length, 1);
});

test('a node without range says what to configure', (t) => {
  const ranges = vmidRanges.parse({ pve1: { first: 10_000 } });
  t.throws(() => rangeOf('pve2', ranges, 'handlers.proxmox.vmids'), {
    message: /^handlers\.proxmox\.vmids\.pve2: is missing: .*"first = 10300"/,
  });
  t.throws(() => rangeOf('constructor', ranges, 'vmids'));
});
