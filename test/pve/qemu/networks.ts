import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseCard, tapName } from './command/parts/network.ts';

const MEBIBYTE = 1024 ** 2;

/**
 * Writes how the node's end of a network is connected, for pve-bridge: the bridge, the VLAN, bytes a second.
 * @param scripts the directory of that script
 */
export function writeNetwork(scripts: string, vmid: number, number: number, value: string): void {
  const { bridge, tag = '1', rate = '0' } = parseCard(value).settings;
  if (bridge === undefined) return;
  const directory = join(scripts, 'networks');
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, tapName(vmid, number)), `${bridge} ${tag} ${Math.round(Number(rate) * MEBIBYTE)}\n`);
}

/** Removes what {@link writeNetwork} wrote of a machine. */
export function removeNetworks(scripts: string, vmid: number): void {
  for (let number = 0; number < 32; number += 1)
    rmSync(join(scripts, 'networks', tapName(vmid, number)), { force: true });
}
