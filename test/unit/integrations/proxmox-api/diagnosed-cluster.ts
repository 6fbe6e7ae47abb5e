import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import type { Finding } from '../../../../src/core/model/finding.ts';
import type { DiagnosisOptions } from '../../../../src/integrations/proxmox-api/diagnose/diagnose.ts';
import { type ClusterOptions, type SimulatedCluster, startCluster } from '../../../pve/cluster.ts';
import type { Certificate } from '../../../pve/http/certificate.ts';

/** The token that `doctor` uses; it may nothing until it is granted something. */
export const TOKEN = 'k8s@pve!node';

const WHERE = {
  node: 'pve1',
  pools: [''],
  storage: 'local',
  templateStorage: 'local',
  bridges: ['vmbr0'],
  networks: [],
  ranges: [],
};

/** A cluster of its own for a test, and the settings with which `doctor` examines it. */
export async function startDiagnosed(
  t: ExecutionContext,
  certificate: Certificate,
  options: ClusterOptions = {},
): Promise<{ cluster: SimulatedCluster; settings: DiagnosisOptions; tokenFile: string }> {
  const cluster = await startCluster({ certificate, ...options });
  t.teardown(() => cluster.close());
  cluster.state.store.users['k8s@pve'] = { enable: 1, expire: 0 };
  const secret = cluster.token('k8s@pve', 'node', true).replace(/^.*=/, '');
  const directory = await mkdtemp(join(tmpdir(), 'diagnose-test-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const tokenFile = join(directory, 'token');
  await writeFile(tokenFile, `${secret}\n`, { mode: 0o600 });
  const settings: DiagnosisOptions = {
    ...WHERE,
    hosts: cluster.nodes.map(({ url }) => new URL(url).host),
    trust: { fingerprints: [certificate.fingerprint] },
    tokenId: TOKEN,
    tokenFile,
    localRoot: undefined,
  };
  return { cluster, settings, tokenFile };
}

/** The findings that ask for something. */
export const bad = (findings: readonly Finding[]) => findings.filter(({ status }) => status !== 'ok');

/** What the findings are about, in their order. */
export const subjects = (findings: readonly Finding[]) => findings.map(({ subject }) => subject);
