// This machine as a node of a simulated Proxmox VE cluster, until it is terminated.   proxmox-node.ts FILE [RELEASE]
// FILE becomes the part of the server's configuration that names it, once the node answers.
import { rename, writeFile } from 'node:fs/promises';
import { NodeFixture } from '../guest/pve-node.ts';

const [, , file = '', release = '9.2'] = process.argv;
if (release !== '8.4' && release !== '9.2') throw new Error(`RELEASE must be 8.4 or 9.2, not ${release}`);
const terminated = new Promise((resolve) => process.once('SIGTERM', resolve));
const node = await NodeFixture.make({ release });
await writeFile(`${file}.new`, node.toml);
await rename(`${file}.new`, file);
await terminated;
await node.close();
