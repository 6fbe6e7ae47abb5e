import test from 'ava';
import { SpdyError } from '../../../../src/cri/streaming/spdy/frames.ts';
import { HeaderReader, HeaderWriter } from '../../../../src/cri/streaming/spdy/header-block.ts';

test('a header block has at most 4,096 bytes', async (t) => {
  const reader = new HeaderReader();
  const writer = new HeaderWriter();
  // Before the value: the number of fields, the name and two lengths.
  const whole = new Map([['k', 'x'.repeat(4096 - 13)]]);
  t.deepEqual(await reader.read(writer.write(whole)), whole);
  const call = reader.read(writer.write(new Map([['k', 'x'.repeat(4096 - 12)]])));
  await t.throwsAsync(call, { instanceOf: SpdyError, message: /inflates to more than 4096 bytes/ });
});
