import test from 'ava';
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { RuntimeServiceService } from '../../api/gen/cri.ts';
import { loadSeeds, parseSeed, seedDirectory } from '../fixtures/streaming/seeds.ts';
import { Crictl, TRANSPORTS } from './crictl-client.ts';
import { ServerFixture } from './server-fixture.ts';
import { listening } from './streaming-client.ts';
import { StreamingRecorder } from './streaming-recorder.ts';

test.serial("crictl's sessions still match the recorded ones", async (t) => {
  const server = await ServerFixture.make(t);
  const recorder = await StreamingRecorder.start(t, server);
  const crictl = await Crictl.for(t, recorder.socket);
  const pod = await server.pod('record');
  const id = await server.sh(pod, 'main', 'nc -ll -p 9000 -e cat');
  await listening(server, id, 9000);
  const sessions = new Map<string, Buffer>();
  for (const transport of TRANSPORTS) {
    const record = async (kind: string, act: () => Promise<unknown>) => {
      sessions.set(`${transport}-${kind}.bin`, await recorder.record(act));
    };
    await record('exec', async () => {
      const command = ['exec', '-r', transport, '-i', id, 'sh', '-c', 'cat; echo problem >&2; exit 3'];
      t.is((await crictl.run(command, 'some input\n')).stdout, 'some input\n');
    });
    await record('exec-terminal', async () => {
      const command = ['exec', '-r', transport, '-i', '-t', id, 'sh'];
      const terminal = await crictl.onTerminal({ width: 88, height: 33 }, ...command);
      await terminal.converse('stty size', /33 88\r\n/);
      await terminal.resize({ width: 101, height: 44 });
      await terminal.converse('stty size', /44 101\r\n/);
      await terminal.end('exit');
    });
    await record('attach', async () => {
      const name = `attach-${transport}`;
      const main = await server.sh(pod, name, 'while read -r line; do echo "got $line"; done', {
        stdin: true,
        stdinOnce: true,
      });
      const client = crictl.spawn('attach', '-r', transport, '-i', main);
      const asking = setInterval(() => client.stdin.write('more\n'), 200);
      await once(client.stdout, 'data');
      clearInterval(asking);
      client.stdin.end('last\n');
      await once(client, 'exit');
      await server.client.call(RuntimeServiceService.removeContainer, { containerId: main });
    });
    await record('portforward', async () => {
      const forward = await crictl.forward(transport, pod, 9000);
      for (const words of ['first', 'second']) {
        const socket = connect({ host: '127.0.0.1', port: forward.local });
        socket.end(words);
        t.is(await text(socket), words);
      }
      await forward.close();
    });
  }

  const target = process.env['STREAMING_SEEDS'];
  if (target !== undefined) for (const [name, bytes] of sessions) await writeFile(join(target, name), bytes);
  const names = (await readdir(seedDirectory)).filter((name) => name.endsWith('.bin'));
  t.deepEqual(names.sort(), [...sessions.keys()].sort());
  for (const { name, head, shape } of await loadSeeds()) {
    const now = parseSeed(name, sessions.get(`${name}.bin`) ?? Buffer.alloc(0));
    t.is(now.head, head, `${name}: test/fixtures/streaming/record must be run again`);
    t.deepEqual(now.shape, shape, `${name}: test/fixtures/streaming/record must be run again`);
  }
});
