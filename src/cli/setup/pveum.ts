import * as z from 'zod';
import { run } from '../../host/processes/run.ts';

const TIMEOUT_MS = 60_000;

const roles = z.array(z.object({ roleid: z.string(), privs: z.string().default('') }));
const users = z.array(z.object({ userid: z.string() }));
const tokens = z.array(z.object({ tokenid: z.string() }));
const pools = z.array(z.object({ poolid: z.string() }));
const acl = z.array(
  z.object({ path: z.string(), type: z.string(), ugid: z.string(), roleid: z.string(), propagate: z.coerce.number() }),
);
const added = z.object({ value: z.string().regex(/^[\w-]+$/) });

/** Users, roles, tokens and resource pools of the cluster, by pveum(1). Every call throws CommandError when pveum fails. */
export const pveum = {
  roles: () => list(['role', 'list'], roles),
  users: () => list(['user', 'list'], users),
  tokens: (user: string) => list(['user', 'token', 'list', user], tokens),
  pools: () => list(['pool', 'list'], pools),
  acl: () => list(['acl', 'list'], acl),
  addPool: (name: string) => change('pool', 'add', name),
  deletePool: (name: string) => change('pool', 'delete', name),
  addRole: (name: string, privileges: readonly string[]) =>
    change('role', 'add', name, '--privs', privileges.join(',')),
  deleteRole: (name: string) => change('role', 'delete', name),
  addUser: (id: string) => change('user', 'add', id),
  deleteUser: (id: string) => change('user', 'delete', id),
  grant: (path: string, kind: 'user' | 'token', id: string, role: string, propagate: boolean) =>
    change('acl', 'modify', path, `--${kind}s`, id, '--roles', role, '--propagate', propagate ? '1' : '0'),
  revoke: (path: string, kind: 'user' | 'token', id: string, role: string) =>
    change('acl', 'delete', path, `--${kind}s`, id, '--roles', role),
  /** @returns the secret. */
  addToken: async (user: string, name: string) =>
    (await list(['user', 'token', 'add', user, name, '--privsep', '1'], added)).value,
  deleteToken: (user: string, name: string) => change('user', 'token', 'remove', user, name),
};

async function list<T>(words: readonly string[], schema: z.ZodType<T>): Promise<T> {
  const { stdout } = await run('pveum', [...words, '--output-format', 'json'], {
    timeoutMs: TIMEOUT_MS,
    holds: 'nothing',
  });
  const answer = schema.safeParse(parsed(stdout));
  // The output of "token add" has the secret: it is in no message.
  if (!answer.success) throw new Error(`pveum ${words.slice(0, 3).join(' ')} printed something that is not expected`);
  return answer.data;
}

async function change(...words: string[]): Promise<void> {
  await run('pveum', words, { timeoutMs: TIMEOUT_MS, holds: 'nothing' });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
