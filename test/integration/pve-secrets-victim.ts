// Makes calls with every kind of credentials, most of which fail, and shows everything that it gets: log lines at level
// debug, inspected errors and clients, metrics, a diagnostic report, and an error that nobody catches. The argument is JSON.
import { inspect } from 'node:util';
import { createLogger } from '../../src/core/logging/logger.ts';
import { type CredentialOptions, connectProxmox } from '../../src/integrations/proxmox-api/client.ts';

interface Plan {
  host: string;
  fingerprints: string[];
  credentials: CredentialOptions[];
  report: string;
  /** Files of what goes into a guest's configuration. */
  variable: string;
}

const { host, fingerprints, credentials, report, variable } = JSON.parse(process.argv[2] ?? '') as Plan;
const loggers = (['json', 'text'] as const).map((format) => createLogger({ level: 'debug', format }));
const show = (message: string, value: unknown) => {
  for (const logger of loggers) logger.debug(message, { value, error: value as Error });
  console.error(inspect(value, { depth: 12, showHidden: true, maxStringLength: null }), JSON.stringify(value));
};
const { readFile } = await import('node:fs/promises');
const planted = (await readFile(variable, 'utf8')).trim();
const guest = { kind: 'lxc', node: 'pve1', vmid: 101 } as const;
const ignored: unknown[] = [];

for (const each of credentials) {
  const client = await connectProxmox({
    hosts: [host],
    trust: { fingerprints },
    credentials: each,
    rounds: 1,
    observer: { call: (call) => show('A call ended', call) },
  });
  show('A client', client);
  for (const call of [
    () => client.nodes.list(),
    () => client.guests.config(guest),
    () => client.guests.configure(guest, { set: { env: `TOKEN=${planted}\0B=1`, hostname: `-${planted}-` } }),
    () => client.guests.create(guest, { ostemplate: 'none', cipassword: planted, nosuch: 1 }),
    () => client.guests.delete(guest, { purge: true }),
  ]) {
    try {
      show('An answer', await call());
    } catch (error) {
      show('A call failed', error);
      ignored.push(error);
    }
  }
  await client.close();
}
process.report.writeReport(report);
process.stdout.write('shown\n');
await new Promise((resolve) => process.stdin.once('end', resolve).resume());
throw ignored.at(-1);
