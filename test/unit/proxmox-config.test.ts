import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { type ProxmoxContainer, proxmoxConfig } from '../guest/proxmox-config.ts';

/** Configurations that a real Proxmox VE 9 wrote; they are kept beside the checkout. */
const GOLDEN = join(import.meta.dirname, '../../../shared/data/golden/pve9');
const plain = { vmid: 100, hostname: 'ct100', swap: 512 };
const cases: Record<string, ProxmoxContainer> = {
  '001-minimal': { vmid: 100 },
  '029-memory-16383-swap-0': { vmid: 100, hostname: 'm', memory: 16_383 },
  '030-memory-16384-swap-0': { vmid: 100, hostname: 'm', memory: 16_384 },
  '086-entrypoint': { ...plain, entrypoint: "/usr/bin/nginx -g 'daemon off;'" },
  '091-raw-include': {
    ...plain,
    lxc: [
      ['lxc.include', '/etc/cri/100.conf'],
      ['lxc.include', '/etc/cri/200.conf'],
    ],
  },
  '096-raw-idmap-privileged': {
    ...plain,
    lxc: [
      ['lxc.idmap', 'u 0 200000 65536'],
      ['lxc.idmap', 'g 0 200000 65536'],
    ],
  },
  '131-ostype-unmanaged-unpriv': { vmid: 100, hostname: 'o', unprivileged: true },
};

for (const [name, container] of Object.entries(cases)) {
  const path = join(GOLDEN, `${name}.json`);
  const compare = existsSync(path) ? test : test.skip;
  compare(`${name}: a test guest has Proxmox's generated configuration`, async (t) => {
    const { output } = JSON.parse(await readFile(path, 'utf8')) as { output: { lxc_config: string } };
    t.is(proxmoxConfig(container), output.lxc_config);
  });
}
