import test from 'ava';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ContainerConfig } from '../../../api/gen/cri.ts';
import { CriError, StatusCode } from '../../../src/core/model/errors.ts';
import { containerSpec } from '../../../src/cri/map/container-spec.ts';

const page = readFileSync('docs/cri-fields.md', 'utf8');
const protos = readdirSync('api/cri/runtime/v1').map((name) => readFileSync(join('api/cri/runtime/v1', name), 'utf8'));

/** The messages whose fields the page must list: those of RunPodSandbox and CreateContainer. */
const MESSAGES = [
  'PodSandboxConfig PodSandboxMetadata DNSConfig PortMapping LinuxPodSandboxConfig LinuxSandboxSecurityContext',
  'NamespaceOption UserNamespace ContainerConfig ContainerMetadata ImageSpec KeyValue Mount Device CDIDevice',
  'LinuxContainerConfig LinuxContainerSecurityContext SecurityProfile Capability LinuxContainerResources HugepageLimit',
].flatMap((line) => line.split(' '));

/** Field names of a message in the order of the .proto file. */
function fieldsOf(message: string): string[] {
  for (const proto of protos) {
    const body = new RegExp(`^message ${message} \\{\\n([\\s\\S]*?)^\\}`, 'm').exec(proto)?.[1];
    if (body === undefined) continue;
    // Fields of the message itself stand two spaces in; those of inner enums further.
    return [...body.matchAll(/^ {2}(?:repeated )?(?:map<[^>]+>|[\w.]+) (\w+) = \d+/gm)].map((match) => match[1]!);
  }
  throw new Error(`no .proto file has the message ${message}`);
}

/** Rows of a message's table. */
function rowsOf(message: string): { field: string; does: string; shown: string }[] {
  const section = new RegExp(`^## ${message}\\n([\\s\\S]*?)(?=^## |$(?![\\s\\S]))`, 'm').exec(page)?.[1] ?? '';
  return [...section.matchAll(/^\| `(\w+)` +\| (.+?) +\| (.+?) +\|$/gm)].map(([, field, does, shown]) => ({
    field: field!,
    does: does!,
    shown: shown!,
  }));
}

for (const message of MESSAGES) {
  test(`docs/cri-fields.md lists exactly the fields of ${message}`, (t) => {
    const rows = rowsOf(message);
    t.deepEqual(
      rows.map(({ field }) => field),
      fieldsOf(message),
    );
    for (const { field, does, shown } of rows) {
      const name = /^`([\w/.-]+)`$/.exec(shown)?.[1];
      if (shown === '—') t.regex(does, /^(Ignored|Kept)/, `${message}.${field} names no test`);
      else t.true(name === 'critest' || (name !== undefined && existsSync(join('test', name))), `${field}: ${shown}`);
    }
  });
}

test('a refused field fails with UNIMPLEMENTED and its name', (t) => {
  const config = ContainerConfig.create({ metadata: { name: 'c' }, image: { image: 'i' }, windows: {} });
  const error = t.throws(() => containerSpec(config), { instanceOf: CriError, message: /config\.windows/ });
  t.is(error?.code, StatusCode.UNIMPLEMENTED);
});
