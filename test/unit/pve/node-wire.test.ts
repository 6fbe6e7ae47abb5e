import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { Agent, request } from 'undici';
import { hashPassword } from '../../pve/api/access/session.ts';
import { has } from '../../pve/api/method.ts';
import { methods } from '../../pve/api/methods.ts';
import { ApiSchema } from '../../pve/schema/api-schema.ts';
import { unlisted, unshown } from '../../pve/schema/deviations.ts';
import { checkExchanges, type Exchange, summarize } from '../../pve/schema/exchanges.ts';
import { recorded } from './recorded.ts';
import { recordedCluster } from './simulated.ts';

const schemas = recorded('pve-api', 'Checks of the simulated node against the API schema are');
const schemaOf = (release: string): ApiSchema => new ApiSchema(join(schemas!, `pve-${release}.json`));

type Parameters = Record<string, string | number>;
type Step = [verb: string, path: string, parameters?: Parameters];

const PASSWORD = 'not a secret of anybody';
const NODE = '/nodes/pve1';
const TEMPLATE = 'local:vztmpl/mini.tar.gz';

/** The life of a guest, as whoever sends it; `{vmid}` has a copy of its own at `{vmid}` + 1. */
function guestSteps(kind: 'lxc' | 'qemu', vmid: number, release: string): Step[] {
  const isContainer = kind === 'lxc';
  const guest = `${NODE}/${kind}/${vmid}`;
  const copy = `${NODE}/${kind}/${vmid + 1}`;
  const settings: Parameters = isContainer
    ? { ostemplate: TEMPLATE, rootfs: 'btr:1', hostname: 'one', unprivileged: 1, ostype: 'unmanaged' }
    : { name: 'one', scsi0: 'btr:1' };
  const rule = { type: 'in', action: 'ACCEPT', proto: 'tcp', dport: '80' };
  return [
    [
      'POST',
      `${NODE}/${kind}`,
      { vmid, memory: 64, net0: isContainer ? 'name=eth0,bridge=vmbr0' : 'virtio,bridge=vmbr0', ...settings },
    ],
    ['GET', `${NODE}/${kind}`],
    ['GET', guest],
    ['PUT', `${guest}/config`, { description: 'ä', tags: 'k8s', memory: 128 }],
    ...(isContainer ? [] : ([['POST', `${guest}/config`, { memory: 64 }]] satisfies Step[])),
    ['GET', `${guest}/config`],
    ['GET', `${guest}/pending`],
    ['GET', `${guest}/feature?feature=snapshot`],
    ['PUT', `${guest}/resize`, { disk: isContainer ? 'rootfs' : 'scsi0', size: '+1G' }],
    ['GET', `${guest}/rrddata?timeframe=hour`],
    ['POST', `${guest}/snapshot`, { snapname: 's1', description: 'first' }],
    ['GET', `${guest}/snapshot`],
    ['GET', `${guest}/snapshot/s1`],
    ['PUT', `${guest}/snapshot/s1/config`, { description: 'renamed' }],
    ['GET', `${guest}/snapshot/s1/config`],
    ['GET', `${guest}/config`],
    ['POST', `${guest}/snapshot/s1/rollback`],
    ['DELETE', `${guest}/snapshot/s1`],
    ['PUT', `${guest}/firewall/options`, { enable: 1 }],
    ['GET', `${guest}/firewall/options`],
    ['POST', `${guest}/firewall/rules`, rule],
    ['GET', `${guest}/firewall/rules`],
    ['GET', `${guest}/firewall/rules/0`],
    ['PUT', `${guest}/firewall/rules/0`, { comment: 'web' }],
    ['DELETE', `${guest}/firewall/rules/0`],
    ['POST', `${guest}/firewall/aliases`, { name: 'web', cidr: '10.0.0.1', comment: 'x' }],
    ['GET', `${guest}/firewall/aliases`],
    ['DELETE', `${guest}/firewall/aliases/web`],
    ['POST', `${guest}/firewall/ipset`, { name: 'pods' }],
    ['GET', `${guest}/firewall/ipset`],
    ['DELETE', `${guest}/firewall/ipset/pods`],
    ['POST', '/cluster/ha/resources', { sid: `${isContainer ? 'ct' : 'vm'}:${vmid}`, state: 'ignored' }],
    ['GET', '/cluster/ha/resources'],
    ['GET', `/cluster/ha/resources/${isContainer ? 'ct' : 'vm'}:${vmid}`],
    ['PUT', `/cluster/ha/resources/${isContainer ? 'ct' : 'vm'}:${vmid}`, { comment: 'x' }],
    ['GET', '/cluster/ha/resources'],
    ['GET', '/cluster/ha/status/current'],
    ['DELETE', `/cluster/ha/resources/${isContainer ? 'ct' : 'vm'}:${vmid}`],
    ['GET', `${guest}/status`],
    ['POST', `${guest}/status/start`],
    ['GET', `${guest}/status/current`],
    ['GET', `${NODE}/${kind}`],
    isContainer ? ['GET', `${guest}/interfaces`] : ['POST', `${guest}/monitor`, { command: 'info status' }],
    ['POST', `${guest}/status/suspend`],
    ['POST', `${guest}/status/resume`],
    ['POST', `${guest}/status/reboot`],
    ...(isContainer ? [] : ([['POST', `${guest}/status/reset`]] satisfies Step[])),
    ['POST', `${guest}/status/shutdown`, { timeout: 5, forceStop: 1 }],
    ['POST', `${guest}/status/start`],
    ['POST', `${guest}/status/stop`],
    ['POST', `${NODE}/startall`, { vms: vmid, force: 1 }],
    ['POST', `${NODE}/stopall`, { vms: vmid, timeout: 5, 'force-stop': 0 }],
    ['POST', `${guest}/clone`, { newid: vmid + 1, full: 1 }],
    ...(isContainer && release === '8.4' ? [] : ([['GET', `${guest}/migrate`]] satisfies Step[])),
    ['POST', `${guest}/template`],
    ['POST', `${copy}/migrate`, { target: 'pve2' }],
    ['DELETE', guest, { purge: 1 }],
    ['DELETE', `/nodes/pve2/${kind}/${vmid + 1}`],
  ];
}

const AROUND: Step[] = [
  ['GET', '/version'],
  ['GET', '/cluster'],
  ['GET', '/cluster/status'],
  ['GET', '/cluster/config/qdevice'],
  ['GET', '/cluster/resources'],
  ['GET', '/cluster/nextid'],
  ['GET', '/cluster/nextid?vmid=5000'],
  ['PUT', '/cluster/options', { 'next-id': 'lower=100,upper=100000' }],
  ['GET', '/cluster/options'],
  ['GET', '/cluster/tasks'],
  ['PUT', '/cluster/firewall/options', { enable: 1, policy_in: 'DROP' }],
  ['GET', '/cluster/firewall/options'],
  ['POST', '/cluster/firewall/groups', { group: 'web' }],
  ['GET', '/cluster/firewall/groups'],
  ['POST', '/cluster/backup', { id: 'nightly', all: 1, exclude: '200', storage: 'local', schedule: '02:00' }],
  ['GET', '/cluster/backup'],
  ['GET', '/cluster/backup/nightly'],
  ['PUT', '/cluster/backup/nightly', { enabled: 0 }],
  ['DELETE', '/cluster/backup/nightly'],
  ['POST', '/cluster/sdn/zones', { zone: 'z1', type: 'simple' }],
  ['GET', '/cluster/sdn/zones'],
  ['GET', '/cluster/sdn/zones/z1'],
  ['PUT', '/cluster/sdn/zones/z1', { mtu: 1450 }],
  ['POST', '/cluster/sdn/vnets', { vnet: 'v1', zone: 'z1' }],
  ['GET', '/cluster/sdn/vnets'],
  ['GET', '/cluster/sdn/vnets/v1'],
  ['PUT', '/cluster/sdn/vnets/v1', { alias: 'pods' }],
  ['DELETE', '/cluster/sdn/vnets/v1'],
  ['DELETE', '/cluster/sdn/zones/z1'],
  ['GET', '/nodes'],
  ['GET', NODE],
  ['GET', `${NODE}/version`],
  ['GET', `${NODE}/status`],
  ['GET', `${NODE}/certificates/info`],
  ['GET', `${NODE}/network`],
  ['GET', `${NODE}/network/vmbr0`],
  ['POST', `${NODE}/execute`, { commands: '[]' }],
  ['POST', '/storage', { storage: 'more', type: 'dir', path: '/more', content: 'images,vztmpl' }],
  ['GET', '/storage'],
  ['GET', '/storage/more'],
  ['PUT', '/storage/more', { content: 'images' }],
  ['DELETE', '/storage/more'],
  ['POST', '/storage', { storage: 'tank', type: 'zfspool', pool: 'rpool/data', sparse: 1, blocksize: '16k' }],
  ['PUT', '/storage/tank', { nodes: 'pve1', bwlimit: 'clone=1000' }],
  ['GET', '/storage'],
  ['POST', `${NODE}/storage/tank/content`, { filename: 'vm-300-disk-0', size: '4M', vmid: 300 }],
  ['GET', `${NODE}/storage/tank/content`],
  ['GET', `${NODE}/storage/tank/content/vm-300-disk-0`],
  ['DELETE', `${NODE}/storage/tank/content/vm-300-disk-0`],
  ['GET', `${NODE}/storage`],
  ['DELETE', '/storage/tank'],
  ['GET', `${NODE}/storage/local`],
  ['GET', `${NODE}/storage/local/status`],
  ['POST', `${NODE}/storage/local/content`, { filename: 'vm-300-disk-0.raw', size: '4M', vmid: 300 }],
  ['GET', `${NODE}/storage/local/content`],
  ['GET', `${NODE}/storage/local/content/local:300/vm-300-disk-0.raw`],
  ['PUT', `${NODE}/storage/local/content/local:300/vm-300-disk-0.raw`, { notes: 'x' }],
  ['GET', `${NODE}/storage/local/prunebackups`],
  ['DELETE', `${NODE}/storage/local/content/local:300/vm-300-disk-0.raw`],
  ['POST', '/pools', { poolid: 'k8s', comment: 'pods' }],
  ['GET', '/pools'],
  ['GET', '/pools?poolid=k8s'],
  ['GET', '/pools/k8s'],
  ['PUT', '/pools', { poolid: 'k8s', comment: 'other' }],
  ['PUT', '/pools/k8s', { comment: 'again' }],
  ['DELETE', '/pools/k8s'],
  ['POST', '/pools', { poolid: 'k8s' }],
  ['DELETE', '/pools?poolid=k8s'],
  ['POST', '/access/roles', { roleid: 'Pods', privs: 'VM.Allocate,VM.Audit' }],
  ['GET', '/access/roles'],
  ['GET', '/access/roles/Pods'],
  ['PUT', '/access/roles/Pods', { privs: 'VM.PowerMgmt', append: 1 }],
  ['POST', '/access/users', { userid: 'k8s@pve', password: 'long enough', comment: 'x' }],
  ['GET', '/access/users'],
  ['GET', '/access/users/k8s@pve'],
  ['PUT', '/access/users/k8s@pve', { comment: 'y' }],
  ['PUT', '/access/password', { userid: 'k8s@pve', password: 'longer than that' }],
  ['POST', '/access/users/k8s@pve/token/node', { privsep: 1 }],
  ['GET', '/access/users/k8s@pve/token'],
  ['GET', '/access/users/k8s@pve/token/node'],
  ['PUT', '/access/users/k8s@pve/token/node', { comment: 'z' }],
  ['PUT', '/access/acl', { path: '/vms', users: 'k8s@pve', roles: 'Pods' }],
  ['GET', '/access/acl'],
  ['GET', '/access/permissions'],
  ['GET', '/access/domains'],
  ['GET', '/access/ticket'],
  ['DELETE', '/access/users/k8s@pve/token/node'],
  ['DELETE', '/access/users/k8s@pve'],
  ['DELETE', '/access/roles/Pods'],
];

/** Methods whose good answer is not seen, and why. */
const UNSEEN: Record<string, string> = {
  'POST /nodes/{node}/storage/{storage}/upload': 'not tried: a form with a file, which is not JSON',
  'POST /nodes/{node}/storage/{storage}/download-url': 'not tried: there is nothing to download from',
  'POST /nodes/{node}/execute': 'the simulated node runs no batches',
  'GET /nodes/{node}/storage/{storage}/prunebackups': 'no storage has options for it',
  'PUT /nodes/{node}/storage/{storage}/content/{volume}': 'there are no backups, which alone have notes',
  'GET /nodes/{node}/lxc/{vmid}/rrddata': 'nothing is measured over time',
  'GET /nodes/{node}/qemu/{vmid}/rrddata': 'nothing is measured over time',
  'PUT /nodes/{node}/qemu/{vmid}/sendkey': 'there is no process of QEMU',
  'POST /nodes/{node}/qemu/{vmid}/agent/ping': 'there is no agent',
  'GET /nodes/{node}/qemu/{vmid}/agent/info': 'there is no agent',
  'GET /nodes/{node}/qemu/{vmid}/agent/network-get-interfaces': 'there is no agent',
  'POST /nodes/{node}/lxc/{vmid}/status/resume': 'a container that could not be suspended runs',
};
/** Tasks that fail on a node without CRIU and QEMU. */
const FAILING_TASK = /:(vzsuspend|qmsuspend|qmresume):/;

/** A session of root@pam at one host. */
class Session {
  readonly #host: string;
  readonly #agent: Agent;
  #headers: Record<string, string> = {};

  constructor(host: string, authority: string) {
    this.#host = host;
    this.#agent = new Agent({ connect: { ca: authority } });
  }

  async send([verb, path, parameters = {}]: Step): Promise<unknown> {
    const hasBody = verb === 'POST' || verb === 'PUT';
    const query = hasBody ? '' : new URLSearchParams(parameters as Record<string, string>).toString();
    const { statusCode, body } = await request(`https://${this.#host}/api2/json${path}${query && `?${query}`}`, {
      method: verb as 'GET',
      dispatcher: this.#agent,
      headers: { ...this.#headers, ...(hasBody && { 'content-type': 'application/json' }) },
      body: hasBody ? JSON.stringify(parameters) : null,
    });
    const answer = await body.text();
    if (statusCode !== 200) throw new Error(`${verb} ${path}: ${statusCode} ${answer}`);
    return (JSON.parse(answer) as { data: unknown }).data;
  }

  async logIn(): Promise<void> {
    const login = await this.send(['POST', '/access/ticket', { username: 'root@pam', password: PASSWORD }]);
    const { ticket, CSRFPreventionToken: csrf } = login as Record<string, string>;
    this.#headers = { cookie: `PVEAuthCookie=${encodeURIComponent(ticket!)}`, csrfpreventiontoken: csrf! };
  }

  useToken(authorization: string): void {
    this.#headers = { authorization };
  }

  /** Waits for a task's end, and looks at it in every way. */
  async follow(upid: string): Promise<void> {
    const task = `${NODE}/tasks/${encodeURIComponent(upid)}`.replace('pve1', upid.split(':')[1]!);
    while (((await this.send(['GET', `${task}/status`])) as { status: string }).status === 'running') await sleep(10);
    const { exitstatus } = (await this.send(['GET', `${task}/status`])) as { exitstatus: string };
    if (exitstatus !== 'OK' && !FAILING_TASK.test(upid)) throw new Error(`${upid}: ${exitstatus}`);
    await this.send(['GET', task]);
    await this.send(['GET', `${task}/log`]);
    await this.send(['GET', `${task.split('/UPID')[0]!}?limit=5`]);
    await this.send(['DELETE', task]);
  }

  close(): Promise<void> {
    return this.#agent.close();
  }
}

/** What happened when every step was sent to a cluster of the release, a session for all tests. */
async function walk(release: '8.4' | '9.2'): Promise<Exchange[]> {
  await using simulated = await recordedCluster(release);
  const { cluster, recorder, authority } = simulated;
  cluster.state.store.users['root@pam']!.password = hashPassword(PASSWORD);
  const session = new Session(recorder.host, authority);
  try {
    await session.logIn();
    const schema = schemaOf(release);
    for (const step of [...guestSteps('lxc', 200, release), ...guestSteps('qemu', 210, release), ...AROUND]) {
      const sent = session.send(step);
      const data = await (nameOf(schema, step[0], step[1]) in UNSEEN ? sent.catch(() => undefined) : sent);
      if (typeof data === 'string' && data.startsWith('UPID:')) await session.follow(data);
    }
    session.useToken(cluster.token('root@pam', 'test'));
    await session.follow(String(await session.send(['DELETE', `${NODE}/storage/local/content/${TEMPLATE}`])));
    return recorder.exchanges;
  } finally {
    await session.close();
  }
}

function nameOf(schema: ApiSchema, verb: string, path: string): string {
  return `${verb} ${schema.find(verb, path.split('?')[0]!)?.api.template ?? path}`;
}

const RELEASES = ['8.4', '9.2'] as const;
const checked = schemas === undefined ? test.skip : test;
const walks = new Map<string, Promise<Exchange[]>>();

function walked(release: '8.4' | '9.2'): Promise<Exchange[]> {
  const begun = walks.get(release) ?? walk(release);
  walks.set(release, begun);
  return begun;
}

for (const release of RELEASES) {
  checked(`methods of the simulated ${release} keep to the schema`, async (t) => {
    const schema = schemaOf(release);
    const exchanges = await walked(release);
    const good = exchanges.filter(({ status }) => status === 200);
    const answered = new Set(good.map(({ method, path }) => nameOf(schema, method, path)));
    const known = methods.filter((method) => has(method, release)).map(({ verb, path }) => `${verb} ${path}`);
    t.deepEqual(
      known.filter((name) => !answered.has(name) && !(name in UNSEEN)),
      [],
      'methods without a good answer',
    );
    t.deepEqual(summarize(unlisted(checkExchanges(schema, exchanges))), []);
  });

  checked(`the simulated ${release} takes no parameter that is none`, (t) => {
    const schema = schemaOf(release);
    const strange = methods
      .filter((method) => has(method, release))
      .flatMap(({ verb, path, parameters = {} }) => {
        const api = schema.methods.find(({ method, template }) => method === verb && template === path);
        if (api === undefined) return [`${verb} ${path} is no method`];
        const real = api.parameters.properties ?? {};
        return Object.entries(parameters)
          .filter(([, { only }]) => only === undefined || release.startsWith(only))
          .flatMap(([name, { required, type }]) => {
            const its = real[name] ?? real[name.replace(/\d+$/, '[n]')];
            if (its === undefined) return [`${verb} ${path}: ${name} is no parameter`];
            const isOther = its.type !== undefined && its.type !== type;
            const differs = isOther || (required === true) === Boolean(its.optional);
            return differs
              ? [`${verb} ${path}: ${name} is ${its.optional ? 'an optional' : 'a required'} ${its.type}`]
              : [];
          });
      });
    t.deepEqual(strange, []);
  });
}

checked('no deviation is listed without need', async (t) => {
  const findings = await Promise.all(
    RELEASES.map(async (release) => checkExchanges(schemaOf(release), await walked(release))),
  );
  t.deepEqual(unshown(findings.flat()), []);
});
