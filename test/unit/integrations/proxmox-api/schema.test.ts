import test from 'ava';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { ProxmoxClient } from '../../../../src/integrations/proxmox-api/client.ts';
import { ApiSchema } from '../../../pve/schema/api-schema.ts';
import { checkExchanges } from '../../../pve/schema/exchanges.ts';
import { type Certificates, makeCertificates } from './certificates.ts';
import { clientOf, servePve } from './scripted-pve.ts';

const SCHEMAS = join(import.meta.dirname, '../../../../../shared/data/pve-api');
const UPID = 'UPID:pve1:0000049B:00058DF8:6B036CD9:vzstart:101:cri@pve!k8s:';
const ct = { kind: 'lxc', node: 'pve1', vmid: 101 } as const;
const vm = { kind: 'qemu', node: 'pve1', vmid: 102 } as const;

let certificates: Certificates;
let dispose: () => Promise<void>;
test.before(async () => {
  ({ dispose, ...certificates } = await makeCertificates());
});
test.after.always(() => dispose());

/** Every call that the client can make, with all that it can say. */
const CALLS: readonly ((client: ProxmoxClient) => Promise<unknown>)[] = [
  ({ cluster }) => cluster.version(),
  ({ cluster }) => cluster.status(),
  ({ cluster }) => cluster.hasQDevice(),
  ({ cluster }) => cluster.resources('vm'),
  ({ cluster }) => cluster.nextId(),
  ({ cluster }) => cluster.isFree(101),
  ({ nodes }) => nodes.list(),
  ({ nodes }) => nodes.status('pve1'),
  ({ tasks }) =>
    tasks.list('pve1', { source: 'active', typefilter: 'vzstart', vmid: 101, userfilter: 'cri', since: 1 }),
  ({ tasks }) => tasks.list('pve1', { start: 1, limit: 5 }),
  ({ tasks }) => tasks.follow(UPID),
  ({ storages }) => storages.list('pve1', { content: 'rootdir', enabled: true }),
  ({ storages }) => storages.status('pve1', 'local'),
  ({ storages }) => storages.configs(),
  ({ storages }) => storages.content('pve1', 'local', { content: 'vztmpl', vmid: 101 }),
  ({ storages }) =>
    storages.allocate('pve1', 'local', { vmid: 101, filename: 'subvol-101-disk-1', size: '1G', format: 'subvol' }),
  ({ storages }) => storages.delete('pve1', 'local', 'local:vztmpl/a.tar.gz'),
  ({ pools }) => pools.list(),
  ({ pools }) => pools.members('k8s'),
  ({ pools }) => pools.create('k8s', 'a comment'),
  ({ pools }) => pools.update('k8s', { vmids: [101, 102], remove: true, allowMove: true }),
  ({ pools }) => pools.delete('k8s'),
  ({ networks }) => networks.interfaces('pve1', 'any_bridge'),
  ({ networks }) => networks.vnets(),
  ({ networks }) => networks.zones(),
  ({ access }) => access.permissions('/vms/101'),
  ({ backupJobs }) => backupJobs.list(),
  ({ ha }) => ha.list(),
  ...[ct, vm].flatMap((guest) => [
    ({ guests }: ProxmoxClient) => guests.list(guest.kind, 'pve1'),
    ({ guests }: ProxmoxClient) => guests.config(guest, { current: true }),
    ({ guests }: ProxmoxClient) =>
      guests.configure(guest, { set: { memory: 64, description: 'x' }, remove: ['cores'], digest: 'a'.repeat(40) }),
    ({ guests }: ProxmoxClient) => guests.pending(guest),
    ({ guests }: ProxmoxClient) => guests.status(guest),
    ({ guests }: ProxmoxClient) => guests.start(guest),
    ({ guests }: ProxmoxClient) => guests.stop(guest, { overruleShutdown: true }),
    ({ guests }: ProxmoxClient) => guests.shutdown(guest, { timeout: 5, forceStop: true }),
    ({ guests }: ProxmoxClient) => guests.delete(guest, { force: true, purge: true, destroyUnreferencedDisks: true }),
    ({ guests }: ProxmoxClient) =>
      guests.clone(guest, { newid: 200, name: 'b', description: 'x', pool: 'k8s', snapname: 's1', full: true }),
    ({ guests }: ProxmoxClient) => guests.clone(guest, { newid: 200, storage: 'local', target: 'pve2', full: true }),
    ({ guests }: ProxmoxClient) => guests.resize(guest, guest.kind === 'lxc' ? 'rootfs' : 'scsi0', '+1G'),
    ({ guests }: ProxmoxClient) => guests.migratePreconditions(guest, 'pve2'),
    ({ snapshots }: ProxmoxClient) => snapshots.list(guest),
    ({ snapshots }: ProxmoxClient) => snapshots.create(guest, { name: 's1', description: 'x', vmstate: true }),
    ({ snapshots }: ProxmoxClient) => snapshots.rollback(guest, 's1', { start: true }),
    ({ snapshots }: ProxmoxClient) => snapshots.delete(guest, 's1', { force: true }),
    ({ firewall }: ProxmoxClient) => firewall.options(guest),
    ({ firewall }: ProxmoxClient) => firewall.configure(guest, { enable: true }, ['policy_in']),
    ({ firewall }: ProxmoxClient) => firewall.rules(guest),
    ({ firewall }: ProxmoxClient) => firewall.addRule(guest, { type: 'in', action: 'DROP', proto: 'tcp', dport: '22' }),
    ({ firewall }: ProxmoxClient) => firewall.deleteRule(guest, 0),
    ({ ha }: ProxmoxClient) => ha.get(guest),
    ({ ha }: ProxmoxClient) => ha.delete(guest),
  ]),
  ({ guests }) =>
    guests.create(ct, {
      ...{ ostemplate: 'local:vztmpl/a.tar.gz', rootfs: 'local:0', unprivileged: true, memory: 64, swap: 0 },
      ...{ tags: 'ours', hostname: 'a', net0: 'name=eth0,bridge=vmbr0', features: 'nesting=1', start: false },
    }),
  ({ guests }) => guests.create(ct, { ostemplate: 'local:vztmpl/a.tar.gz', entrypoint: '/bin/sh', env: 'A=1\0B=2' }),
  ({ guests }) => guests.create(vm, { name: 'a', memory: '512', scsi0: 'local:1', agent: '1', ciuser: 'x' }),
];

for (const release of ['8.4', '9.1', '9.2']) {
  const path = join(SCHEMAS, `pve-${release}.json`);
  (existsSync(path) ? test : test.skip)(
    `every request fits the API of ${release}${existsSync(path) ? '' : ' (its schema is not beside this checkout)'}`,
    async (t) => {
      const pve = await servePve(t, certificates, ({ method, path: asked }) => {
        if (asked.endsWith('/version')) return { data: { version: `${release}.1`, release } };
        if (asked.startsWith('/nodes/pve1/tasks/') && asked.endsWith('/status')) {
          return { data: { status: 'stopped', exitstatus: 'an error' } };
        }
        return { data: method === 'GET' ? [] : UPID };
      });
      const client = await clientOf(t, certificates, [pve]);
      // What the answers are worth is tested elsewhere: only the requests count here.
      for (const call of CALLS) await call(client).catch(() => undefined);
      await client.tasks.stop({ ...(await client.guests.start(ct)) });
      const exchanges = pve.seen.map(({ method, path: asked, query, body }) => ({
        source: 'the client',
        method,
        path: `${asked}?${new URLSearchParams(query).toString()}`,
        parameters: (body ?? {}) as Record<string, unknown>,
        status: 200,
      }));
      t.true(exchanges.length > CALLS.length - 4);
      t.deepEqual(checkExchanges(new ApiSchema(path), exchanges), []);
    },
  );
}
