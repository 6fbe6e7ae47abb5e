import { writeFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { startCluster, type SimulatedCluster } from '../../pve/cluster.ts';
import { makeCertificate } from '../../pve/http/certificate.ts';
import { Recorder } from '../../pve/schema/recorder.ts';

/** A simulated cluster of two nodes, `pve1` behind a recorder. */
export interface RecordedCluster extends AsyncDisposable {
  cluster: SimulatedCluster;
  recorder: Recorder;
  /** Of the certificate that the recorder shows, and its authority, PEM. */
  fingerprint: string;
  authority: string;
}

/**
 * Starts the cluster with a storage `btr`, which has snapshots, and with the template `local:vztmpl/mini.tar.gz`; needs
 * openssl.
 */
export async function recordedCluster(release: '8.4' | '9.2'): Promise<RecordedCluster> {
  const cluster = await startCluster({ release, nodes: ['pve1', 'pve2'] });
  try {
    const { state, nodes } = cluster;
    state.store.storages['btr'] = { type: 'btrfs', path: '/btr', content: ['images', 'rootdir'], options: {} };
    await writeFile(state.volumes.target('local', 'vztmpl', 'mini.tar.gz'), gzipSync(Buffer.alloc(1024)));
    const shown = await makeCertificate('pve1');
    const { url, authority } = nodes[0]!;
    const recorder = await Recorder.start({ ...shown, url, authority });
    const end = async (): Promise<void> => {
      await recorder[Symbol.asyncDispose]();
      await cluster.close();
    };
    return {
      cluster,
      recorder,
      fingerprint: shown.fingerprint,
      authority: shown.authority,
      [Symbol.asyncDispose]: end,
    };
  } catch (error) {
    await cluster.close();
    throw error;
  }
}
