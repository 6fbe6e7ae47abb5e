import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFileRegistry, fromBinary, ScalarType } from '@bufbuild/protobuf';
import type { DescEnum, DescField, DescFile, DescMessage, DescService } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

export const root = join(import.meta.dirname, '../../..');
const packagePrefix = 'runtime.v1.';

export interface Api {
  files: DescFile[];
  services: DescService[];
  messages: DescMessage[];
  enums: DescEnum[];
}

/** Compiles the .proto files and returns those of api/cri; the others are this server's own. */
export function compileApi(): Api {
  const cache = mkdtempSync(join(tmpdir(), 'buf-'));
  try {
    const set = execFileSync(
      process.execPath,
      [join(root, 'node_modules/@bufbuild/buf/bin/buf'), 'build', '--as-file-descriptor-set', '-o', '-'],
      { cwd: join(root, 'api'), env: { ...process.env, BUF_CACHE_DIR: cache }, maxBuffer: 1 << 24 },
    );
    const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, set));
    const isCri = (file: DescFile) => file.name.startsWith('runtime/');
    const types = [...registry].filter(({ file }) => isCri(file));
    return {
      files: [...registry.files].filter(isCri),
      services: types.filter((type) => type.kind === 'service'),
      messages: types.filter((type) => type.kind === 'message'),
      enums: types.filter((type) => type.kind === 'enum'),
    };
  } finally {
    rmSync(cache, { recursive: true });
  }
}

/** Name inside the package: `SecurityProfile.ProfileType`. */
export function localName(type: { typeName: string }): string {
  return type.typeName.slice(packagePrefix.length);
}

/** The type of a field as its declaration spells it: `repeated Mount`, `map<string, string>`. */
export function declaredType(field: DescField): string {
  switch (field.fieldKind) {
    case 'map':
      return `map<${scalar(field.mapKey)}, ${single(field, field.mapKind)}>`;
    case 'list':
      return `repeated ${single(field, field.listKind)}`;
    default:
      return single(field, field.fieldKind);
  }
}

function single(field: DescField, kind: 'scalar' | 'message' | 'enum'): string {
  if (kind === 'scalar') return scalar(field.scalar!);
  const name = localName((kind === 'enum' ? field.enum : field.message)!);
  const parent = `${localName(field.parent)}.`;
  return name.startsWith(parent) ? name.slice(parent.length) : name;
}

function scalar(type: ScalarType): string {
  return ScalarType[type].toLowerCase();
}
