import test from 'ava';
import { readdir } from 'node:fs/promises';
import { AttachRequest, ExecRequest, PortForwardRequest, RuntimeServiceService } from '../../api/gen/cri.ts';
import { eventually } from '../lib/eventually.ts';
import { inventory, leftovers } from './leaks.ts';
import { ServerFixture } from './server-fixture.ts';
import { ChannelClient, listening } from './streaming-client.ts';

const COUNT = Number(process.env['STREAMING_SESSIONS'] ?? 40);
const AT_ONCE = 4;

test.serial(`${String(COUNT)} sessions leave no descriptor, process or file`, async (t) => {
  t.timeout(3_600_000);
  const server = await ServerFixture.make(t);
  await server.warm();
  const pod = await server.pod('busy');
  const id = await server.sh(pod, 'main', 'nc -ll -p 9000 -e cat & while :; do sleep 1; done', { stdin: true });
  await listening(server, id, 9000);
  const session = async (number: number) => {
    const kind = number % 4;
    if (kind === 3) {
      const request = PortForwardRequest.create({ podSandboxId: pod, port: [9000] });
      const { url } = await server.client.call(RuntimeServiceService.portForward, request);
      const client = await ChannelClient.open(url, 'v4.channel.k8s.io');
      client.send(0, 'there and back');
      await client.until(0, /there and back/);
      client.ws.close();
      await client.closed;
      return;
    }
    if (kind === 2) {
      const request = AttachRequest.create({ containerId: id, stdout: true, stderr: true });
      const client = await ChannelClient.open((await server.client.call(RuntimeServiceService.attach, request)).url);
      client.ws.close();
      await client.closed;
      return;
    }
    const fields = kind === 0 ? { stdout: true, stderr: true } : { stdin: true, stdout: true, tty: true };
    const request = ExecRequest.create({
      containerId: id,
      cmd: ['sh', '-c', `echo session; exit ${String(number % 5)}`],
      ...fields,
    });
    const client = await ChannelClient.open((await server.client.call(RuntimeServiceService.exec, request)).url);
    await client.until(1, /session\r?\n/);
    const status = await client.status();
    t.is(status.status, number % 5 === 0 ? 'Success' : 'Failure');
  };
  const descriptors = async () => (await readdir(`/proc/${String(server.pid)}/fd`)).length;
  // What the first sessions load and open permanently is not a leak.
  for (let number = 0; number < 6; number++) await session(number);
  const [before, open] = [await inventory(server), await descriptors()];
  let next = 0;
  const worker = async () => {
    while (next < COUNT) await session(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  // Closed connections leave the process's table a moment later.
  await eventually(`no more than ${String(open)} descriptors`, async () => (await descriptors()) <= open);
  // The container's own `sleep` is replaced regularly, and the first sessions may have ended late.
  t.deepEqual(await leftovers(server, before, (line) => /^-| (process sleep|namespace )/.test(line)), []);
});
