import { stat } from 'node:fs/promises';
import { type Finding, missing, ok, warning } from '../../../core/model/finding.ts';
import { messageOf } from '../../../utils/errors.ts';
import type { LocalTicketOptions } from '../auth/local-ticket.ts';
import { readSecret } from '../auth/secret.ts';
import { connectProxmox, type ProxmoxClient, type ProxmoxClientOptions } from '../client.ts';
import { isKind } from '../errors/proxmox-error.ts';
import type { Trust } from '../transport/tls.ts';
import { isSupported } from '../version.ts';
import { checkBackups } from './backups.ts';
import { checkBridges } from './bridges.ts';
import { checkFirewall } from './firewall.ts';
import { hostFindings, type HostResult, unsupported, wordsOf } from './hosts.ts';
import { checkPools } from './pools.ts';
import { checkPrivileges } from './privileges.ts';
import type { Places } from './requirements.ts';
import { checkQuorum } from './quorum.ts';
import { checkStorages } from './storages.ts';

/** A cluster as the configuration describes it. */
export interface DiagnosisOptions extends Places {
  hosts: readonly string[];
  trust: Trust;
  /** `user@realm!name` */
  tokenId: string;
  tokenFile: string;
  /** Tickets of root@pam are made here; undefined: none. */
  localRoot: LocalTicketOptions | undefined;
  /** Milliseconds for a connection. */
  connectMs?: number;
}

const CONNECT_MS = 5_000;
/** A refused token is answered after 3 s. */
const TIMEOUT_MS = 20_000;

/** Asks a cluster whether pods could be its guests. Reads only; what fails is a finding. */
export async function diagnoseCluster(options: DiagnosisOptions): Promise<Finding[]> {
  const file = await checkTokenFile(options);
  if (file.status === 'missing') return [file];
  const findings = [file];
  try {
    const results = await Promise.all(options.hosts.map((host) => askHost(options, host)));
    findings.push(...hostFindings(results));
    if (results.some(({ error }) => isKind(error, 'unauthenticated'))) return [...findings, refusedToken(options)];
    const answering = results.filter(({ version }) => version !== undefined).map(({ host }) => host);
    if (answering.length === 0) return findings;
    findings.push(ok('Proxmox token', `${options.tokenId} is valid`));
    findings.push(...(await withClient(options, answering, (client) => checkCluster(client, options))));
  } catch (error) {
    findings.push(missing('Proxmox API', wordsOf(error), 'correct what the message names'));
  }
  return findings;
}

async function checkTokenFile({ tokenFile, tokenId }: DiagnosisOptions): Promise<Finding> {
  const subject = 'Proxmox token file';
  const write = `write the token's secret to ${tokenFile}, mode 0600; for a new one see \`pveum user token add\``;
  try {
    const secret = (await readSecret({ file: tokenFile })).reveal();
    const { mode } = await stat(tokenFile);
    // The id would be the file's, not that of the configuration.
    if (/[=!\s]/.test(secret)) return missing(subject, `${tokenFile} holds more than the secret of ${tokenId}`, write);
    if ((mode & 0o077) === 0) return ok(subject, tokenFile);
    return {
      ...warning(subject, `others than its owner may use ${tokenFile}`, 'run:'),
      commands: [`chmod 600 ${tokenFile}`],
    };
  } catch (error) {
    return missing(subject, messageOf(error), write);
  }
}

function refusedToken({ tokenId, tokenFile }: DiagnosisOptions): Finding {
  const [user = '', name = ''] = tokenId.split('!');
  const remedy =
    `look whether the token exists, whether it or ${user} has expired or is disabled, and whether ${tokenFile} holds its secret; ` +
    'a lost secret cannot be read again, but the token can be removed and recreated, on a node:';
  return {
    ...missing('Proxmox token', `${tokenId} was refused`, remedy),
    commands: [
      `pveum user token list '${user}'`,
      `pveum user token remove '${user}' ${name}`,
      `pveum user token add '${user}' ${name}`,
    ],
  };
}

async function askHost(options: DiagnosisOptions, host: string): Promise<HostResult> {
  try {
    return { host, version: await withClient(options, [host], (client) => client.cluster.version()) };
  } catch (error) {
    return { host, error };
  }
}

async function checkCluster(client: ProxmoxClient, options: DiagnosisOptions): Promise<Finding[]> {
  const { node, tokenId, localRoot } = options;
  const nodes = (await client.nodes.list()).map((one) => one.node);
  const root = localRoot === undefined ? [] : [await checkLocalRoot(client)];
  if (!nodes.includes(node)) {
    const found = `the cluster has no node ${node}, but ${nodes.join(', ')}`;
    return [...root, missing('Proxmox node', found, 'set proxmox.node to the node that runs the pods')];
  }
  const version = await client.nodes.version(node);
  return [
    ...root,
    isSupported(version) ? ok('Proxmox node', node) : unsupported('Proxmox node', version),
    ...(await checkQuorum(client)),
    ...(await checkPools(client, options)),
    ...(await checkPrivileges(client, tokenId, options, version)),
    ...(await checkStorages(client, options)),
    ...(await checkBridges(client, options)),
    ...(await checkFirewall(client, options)),
    ...(await checkBackups(client, options)),
  ];
}

async function checkLocalRoot(client: ProxmoxClient): Promise<Finding> {
  const subject = 'Proxmox root ticket';
  try {
    await client.cluster.version({ asRoot: true });
    return ok(subject, 'tickets of root@pam that are made here are valid');
  } catch (error) {
    const remedy =
      'run the server as root on a node of this cluster whose clock is right, or set proxmox.local_root_ticket = false';
    return missing(subject, wordsOf(error), remedy);
  }
}

/** Runs `use` with a client that is closed afterwards. Each host is tried once. */
async function withClient<T>(
  { trust, tokenId, tokenFile, localRoot, connectMs = CONNECT_MS }: DiagnosisOptions,
  hosts: readonly string[],
  use: (client: ProxmoxClient) => Promise<T>,
): Promise<T> {
  const client = await connectProxmox({
    hosts,
    trust,
    rounds: 1,
    connectMs,
    timeoutMs: TIMEOUT_MS,
    credentials: { kind: 'token', id: tokenId, secret: { file: tokenFile } },
    ...(localRoot !== undefined && {
      root: { kind: 'local-root', ...localRoot } satisfies ProxmoxClientOptions['root'],
    }),
  });
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}
