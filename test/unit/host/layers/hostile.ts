import fc from 'fast-check';
import type { TarEntryType } from '../../../../src/utils/tar/header.ts';
import type { EntrySpec } from '../../integrations/oci/image-builder.ts';

const component = fc.oneof(
  { weight: 30, arbitrary: fc.constantFrom('a', 'b', 'c') },
  {
    weight: 2,
    arbitrary: fc.constantFrom('.', '', '..', '-C', '--checkpoint-action=exec=x', '*', 'a\nb', '\xff', 'x'.repeat(120)),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom('.wh.a', '.wh.b', '.wh..wh..opq', '.wh..', '.wh...', '.wh.', '.wh..wh.plnk'),
  },
);
const path = fc
  .tuple(
    fc.constantFrom('', '', '', '', '', '', '/', './', '../', '../../canary/'),
    fc.array(component, { minLength: 1, maxLength: 4 }),
    fc.constantFrom('', '', '/'),
  )
  .map(([start, parts, end]) => start + parts.join('/') + end);
const target = fc.oneof(
  path,
  fc.constantFrom(
    '/',
    '.',
    '..',
    '/etc',
    '../..',
    '../../canary',
    '../canary',
    '/tmp',
    'a/..',
    '/a',
    '/a/b',
    'b/../../..',
  ),
);
const type = fc.constantFrom<TarEntryType>(
  'file',
  'file',
  'directory',
  'directory',
  'symlink',
  'symlink',
  'symlink',
  'hardlink',
  'hardlink',
  'fifo',
  'character',
);

const entry: fc.Arbitrary<EntrySpec> = fc
  .record({
    name: path,
    type,
    linkName: target,
    mode: fc.constantFrom(0, 0o644, 0o4755, 0o7777),
    uid: fc.constantFrom(0, 1000),
  })
  .map((spec) => ({
    ...spec,
    linkName: ['symlink', 'hardlink'].includes(spec.type) ? spec.linkName : '',
    ...(spec.type === 'file' && { body: 'hostile' }),
  }));

/** Layers that try to write outside: links to everywhere, names through them, whiteouts, replacements, odd characters. */
export const hostileEntries: fc.Arbitrary<EntrySpec[]> = fc.array(entry, { minLength: 1, maxLength: 9 });
