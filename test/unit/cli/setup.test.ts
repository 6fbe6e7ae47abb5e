import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { MadeRecord } from '../../../src/cli/setup/made.ts';
import { type ProxmoxNode, nodeIds } from '../../../src/cli/setup/node.ts';
import { settingsOf } from '../../../src/cli/setup/settings.ts';

const NODE: ProxmoxNode = {
  name: 'pve2',
  version: '9.1.1',
  cluster: undefined,
  ids: new Map([['pve2', 1]]),
  zfs: undefined,
  fingerprint: undefined,
};

test('numbers of nodes are those of corosync.conf', (t) => {
  const node = (lines: string) => `  node {\n${lines}\n  }\n`;
  const text = `nodelist {\n${node('name: pve1\nnodeid: 2')}${node('  nodeid: 7\n  name: pve2')}${node('nodeid: 9')}}\n`;
  t.deepEqual(
    [...nodeIds(text, 'pve2')],
    [
      ['pve1', 2],
      ['pve2', 7],
    ],
  );
  t.deepEqual([...nodeIds(text, 'pve4')], [['pve4', 1]]);
  t.deepEqual([...nodeIds('', 'pve4')], [['pve4', 1]]);
});

test('a node without ZFS needs the name of a storage', (t) => {
  t.throws(() => settingsOf(NODE, '/etc/x/config.toml'), { message: /no storage of ZFS.*--storage/ });
  t.is(settingsOf(NODE, '/etc/x/config.toml', 'lvm').get('proxmox.storage'), 'lvm');
});

test('a certificate of another authority is trusted by its fingerprint', (t) => {
  const settings = settingsOf({ ...NODE, fingerprint: 'AB:CD' }, '/etc/x/config.toml', 'lvm');
  t.deepEqual(settings.get('proxmox.fingerprints'), ['AB:CD']);
  t.false(settings.has('proxmox.ca_file'));
});

test('a record that is not setup’s is refused by name', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'setup-record-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const path = join(directory, 'setup.json');
  for (const text of ['{', '{"format":2,"made":[]}', '{"format":1,"made":[{"kind":"file","path":"/x"}]}']) {
    await writeFile(path, text);
    await t.throwsAsync(MadeRecord.open(path), {
      message: /setup\.json is not a record of setup: .*; restore it or remove it/,
    });
  }
});
