import { Api } from './api.ts';
import { ApiToken, type ApiTokenOptions } from './auth/api-token.ts';
import type { Credentials } from './auth/credentials.ts';
import { LocalTicket, type LocalTicketOptions } from './auth/local-ticket.ts';
import { PasswordLogin, type PasswordOptions } from './auth/ticket.ts';
import { Access } from './endpoints/access.ts';
import { BackupJobs } from './endpoints/backup.ts';
import { Cluster } from './endpoints/cluster.ts';
import { Firewall } from './endpoints/firewall.ts';
import { HaResources } from './endpoints/ha.ts';
import { Networks } from './endpoints/network.ts';
import { Nodes } from './endpoints/nodes.ts';
import { Pools } from './endpoints/pools.ts';
import { Storages } from './endpoints/storage.ts';
import { Guests } from './guests/guests.ts';
import { Snapshots } from './guests/snapshots.ts';
import type { Observer } from './observe.ts';
import { Recheck } from './recheck/recheck.ts';
import { Tasks } from './tasks/tasks.ts';
import { Hosts, type HostsOptions } from './transport/hosts.ts';
import { connectorOf, type Trust } from './transport/tls.ts';

/** How to prove who is calling. */
export type CredentialOptions =
  | ({ kind: 'token' } & ApiTokenOptions)
  | ({ kind: 'password' } & PasswordOptions)
  | ({ kind: 'local-root' } & LocalTicketOptions);

export interface ProxmoxClientOptions extends Pick<HostsOptions, 'hosts' | 'rounds' | 'pauseMs'> {
  trust: Trust;
  credentials: CredentialOptions;
  /** Credentials of root@pam for calls with `asRoot`; leave it out where a token suffices. */
  root?: CredentialOptions;
  /** Calls at the same time that read, and that change; the server has three single-threaded workers by default. */
  reads?: number;
  writes?: number;
  /** Milliseconds for one attempt of a call, unless the call says otherwise. */
  timeoutMs?: number;
  /** Milliseconds to open a connection. */
  connectMs?: number;
  observer?: Observer;
}

/** The API of a Proxmox VE cluster, 8.4 to 9.2. */
export class ProxmoxClient {
  readonly cluster: Cluster;
  readonly nodes: Nodes;
  readonly guests: Guests;
  readonly snapshots: Snapshots;
  readonly tasks: Tasks;
  readonly storages: Storages;
  readonly pools: Pools;
  readonly networks: Networks;
  readonly firewall: Firewall;
  readonly access: Access;
  readonly backupJobs: BackupJobs;
  readonly ha: HaResources;
  readonly recheck: Recheck;
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
    this.cluster = new Cluster(api);
    this.nodes = new Nodes(api);
    this.guests = new Guests(api, this.nodes);
    this.snapshots = new Snapshots(api);
    this.tasks = new Tasks(api);
    this.storages = new Storages(api);
    this.pools = new Pools(api);
    this.networks = new Networks(api);
    this.firewall = new Firewall(api);
    this.access = new Access(api);
    this.backupJobs = new BackupJobs(api);
    this.ha = new HaResources(api);
    this.recheck = new Recheck(this);
  }

  /** Ends all connections; calls in flight fail. */
  close(): Promise<void> {
    return this.#api.close();
  }
}

/**
 * A client; nothing is sent before its first call.
 * @throws CriError INVALID_ARGUMENT for hosts, trust or credentials that cannot be used; FAILED_PRECONDITION for an
 *   authority that cannot be read.
 */
export async function connectProxmox(options: ProxmoxClientOptions): Promise<ProxmoxClient> {
  const { hosts, trust, credentials, root, reads = 8, writes = 4, timeoutMs, connectMs, observer } = options;
  const connector = await connectorOf(trust, connectMs);
  const { rounds, pauseMs } = options;
  const api = new Api({
    hosts: new Hosts({
      hosts,
      connector,
      connections: reads + writes,
      ...(rounds !== undefined && { rounds }),
      ...(pauseMs !== undefined && { pauseMs }),
    }),
    credentials: credentialsOf(credentials),
    root: root && credentialsOf(root),
    reads,
    writes,
    timeoutMs,
    observer,
  });
  return new ProxmoxClient(api);
}

function credentialsOf(options: CredentialOptions): Credentials {
  if (options.kind === 'token') return new ApiToken(options);
  return options.kind === 'password' ? new PasswordLogin(options) : new LocalTicket(options);
}
