import type * as z from 'zod';
import { isSecretName } from '../logging/redact.ts';
import { nearest } from './nearest.ts';
import { type OutlineKey, configOutline } from './outline.ts';
import { type KeyPath, formatPath, valueAt } from './tables.ts';
import { tomlValue } from './toml-value.ts';

/** A problem with one key: where it is in the configuration, and the sentence about it. */
export interface Problem {
  path: KeyPath;
  sentence: string;
}

/** Problems that are described; a file of another kind has one on every line. */
const MAX_PROBLEMS = 50;

const KINDS: Record<string, string> = {
  string: 'a string in quotes',
  number: 'a number',
  int: 'an integer',
  boolean: 'true or false',
  array: 'a list in brackets',
  object: 'a table',
};

/** Describes zod's issues of `input` for the operator: the first ones, and how many more there are. */
export function problemsOf(issues: readonly z.core.$ZodIssue[], input: unknown): Problem[] {
  const single = issues.flatMap((issue): z.core.$ZodIssue[] =>
    issue.code === 'unrecognized_keys' ? issue.keys.map((key) => ({ ...issue, keys: [key] })) : [issue],
  );
  const problems = single.slice(0, MAX_PROBLEMS).map((issue) => describe(issue, input));
  const more = single.length - problems.length;
  return more > 0 ? [...problems, { path: [], sentence: `${String(more)} more problems` }] : problems;
}

/** An issue has one unknown key here. */
function describe(issue: z.core.$ZodIssue, input: unknown): Problem {
  const path = issue.path.map((key) => (typeof key === 'symbol' ? String(key) : key));
  if (issue.code === 'unrecognized_keys') return unknownKey([...path, issue.keys[0] ?? '']);
  const value = valueAt(input, path);
  if (value === undefined) {
    // A rule of several keys says what is missing, and why.
    return { path, sentence: `${formatPath(path)}: ${issue.code === 'custom' ? issue.message : 'is missing'}` };
  }
  const fallback = defaultOf(path);
  const isDefault = fallback !== undefined && tomlValue(fallback) === tomlValue(value);
  const remedy = fallback === undefined || isDefault ? '' : `; the default is ${tomlValue(fallback)}`;
  return { path, sentence: `${formatPath(path)}: ${demand(issue)}, not ${show(path, value)}${remedy}` };
}

function unknownKey(path: KeyPath): Problem {
  const known = knownKeys(path.slice(0, -1));
  const suggestion = nearest(String(path.at(-1)), known);
  const hint = suggestion === undefined ? `known keys: ${known.join(', ')}` : `did you mean "${suggestion}"?`;
  return { path, sentence: `${formatPath(path)}: unknown key; ${hint}` };
}

function demand(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${KINDS[issue.expected] ?? issue.expected}`;
    case 'invalid_value':
      return `must be ${issue.values.map(tomlValue).join(' or ')}`;
    case 'invalid_format':
      return issue.format === 'url' ? 'must be a URL, such as "https://mirror.example"' : issue.message;
    case 'too_small':
      return bound(issue.origin, `at least ${String(issue.minimum)}`);
    case 'too_big':
      return bound(issue.origin, `at most ${String(issue.maximum)}`);
    default:
      return issue.message;
  }
}

function bound(origin: string, limit: string): string {
  if (origin !== 'string' && origin !== 'array') return `must be ${limit}`;
  if (limit === 'at least 1') return 'must not be empty';
  return `must have ${limit} ${origin === 'string' ? 'characters' : 'entries'}`;
}

function show(path: KeyPath, value: unknown): string {
  // A secret is easily pasted where its id or its file belongs.
  if (path.some((key) => typeof key === 'string' && (isSecretName(key) || key.startsWith('token_'))))
    return 'this value';
  if (value instanceof Date) return 'a date';
  const text = tomlValue(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

/** Names that the table at `path` may have: keys, tables below it, or keys of an entry of a list or of a table by name. */
function knownKeys(path: KeyPath): string[] {
  const outline = configOutline();
  const names = path.filter((key) => typeof key === 'string');
  const table = names.join('.');
  const prefix = table === '' ? '' : `${table}.`;
  const below = outline
    .filter(({ name }) => name !== '' && name.startsWith(prefix))
    .map(({ name }) => name.slice(prefix.length).split('.', 1)[0] ?? '');
  const keys = outline.find(({ name }) => name === table)?.keys ?? entriesAt(names);
  return [...new Set([...keys.map(({ name }) => name), ...below])];
}

function entriesAt(names: readonly string[]): readonly OutlineKey[] {
  // An entry of a list has no name of its own, one of a table by name has.
  return (keyAt(names) ?? keyAt(names.slice(0, -1)))?.entries ?? [];
}

function defaultOf(path: KeyPath): unknown {
  const names = path.filter((key) => typeof key === 'string');
  return names.length === path.length ? keyAt(names)?.default : undefined;
}

function keyAt(names: readonly string[]): OutlineKey | undefined {
  const table = configOutline().find(({ name }) => name === names.slice(0, -1).join('.'));
  return table?.keys.find(({ name }) => name === names.at(-1));
}
