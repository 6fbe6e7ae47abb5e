import test from 'ava';
import { StatusCode } from '../../../../src/core/model/errors.ts';
import { Scrubber } from '../../../../src/integrations/proxmox-api/auth/scrubber.ts';
import type { Call } from '../../../../src/integrations/proxmox-api/call.ts';
import { errorFrom } from '../../../../src/integrations/proxmox-api/errors/from-answer.ts';
import {
  AmbiguousOutcomeError,
  type ErrorKind,
  isKind,
  KIND_CODES,
} from '../../../../src/integrations/proxmox-api/errors/proxmox-error.ts';
import { rereadOf } from '../../../../src/integrations/proxmox-api/errors/reread.ts';
import { readErrors } from './transcripts.ts';

const CONFIG: Call = { method: 'PUT', template: '/nodes/{node}/lxc/{vmid}/config', at: { node: 'pve1', vmid: 101 } };

interface Said {
  status?: number;
  reason?: string;
  message?: string;
  errors?: Record<string, string>;
}

/** The error for an answer as Proxmox VE 9 gives it; without a message, as older versions do. */
function errorOf({ status = 500, reason, message, errors }: Said, call: Call = CONFIG) {
  const body = JSON.stringify({ data: null, ...(message !== undefined && { message: `${message}\n` }), errors });
  return errorFrom(call, { status, reason: reason ?? message ?? 'x', body }, new Scrubber([]));
}

/** Messages that no transcript has, from the sources of Proxmox VE 8.4 to 9.2. */
const MESSAGES: readonly (readonly [ErrorKind, string])[] = [
  ['notFound', "Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist"],
  ['notFound', "no such cluster node 'pve9'"],
  ['notFound', "no such resource 'ct:101'"],
  ['notFound', "cannot delete service 'ct:101', not HA managed!"],
  ['alreadyExists', "unable to create VM 100 - VM 100 already exists on node 'pve2'"],
  ['alreadyRunning', 'VM 100 already running'],
  ['notRunning', 'VM 100 not running'],
  ['running', 'VM 100 is running - destroy failed'],
  ['locked', 'VM is locked (snapshot-delete)'],
  ['lockTimeout', "can't lock file '/run/lock/lxc/pve-config-101.lock' - got timeout"],
  ['lockTimeout', "error with cfs lock 'storage-tank': got lock request timeout"],
  ['noQuorum', 'cluster not ready - no quorum?'],
  ['noQuorum', "error with cfs lock 'storage-tank': no quorum!"],
  ['noQuorum', "unable to open file '/etc/pve/nodes/pve1/lxc/101.conf.tmp.4711' - Permission denied"],
  ['full', "zfs error: cannot create 'tank/ct/subvol-101-disk-0': out of space"],
  ['full', 'unable to create image: No space left on device'],
  ['busy', "zfs error: cannot destroy 'tank/ct/subvol-101-disk-0': dataset is busy"],
  ['protected', "can't remove VM 101 - protection mode enabled"],
  ['inUse', 'unable to remove CT 101 - used in HA resources and purge parameter not set.'],
  ['inUse', "There is a replication job 'local/101-0' for guest '101' - Please remove that first."],
  ['rootOnly', "only root can set 'args' config"],
  ['invalid', 'disk is already at specified size'],
  ['invalid', 'shrinking disks is not supported'],
  ['unsupported', "storage 'tank' is not available on node 'pve1'"],
];

for (const [kind, message] of MESSAGES) {
  test(`${kind}: ${message}`, (t) => {
    // In the body since late 8.3, in the status line alone before.
    for (const said of [{ message }, { reason: message }]) {
      const error = errorOf(said);
      t.is(error.kind, kind);
      t.is(error.code, KIND_CODES[kind]);
      t.true(error.message.includes(message));
      t.false(error instanceof AmbiguousOutcomeError);
    }
  });
}

test('a lock is named', (t) => {
  t.is(errorOf({ message: 'CT is locked (backup)' }).details.lock, 'backup');
});

test('403 names privilege and path', (t) => {
  const error = errorOf({ status: 403, message: 'Permission check failed (/vms/101, VM.Config.Disk|VM.Config.CPU)' });
  t.deepEqual(error.details.privilege, { path: '/vms/101', names: ['VM.Config.Disk', 'VM.Config.CPU'] });
  t.is(error.code, StatusCode.PERMISSION_DENIED);
  t.regex(error.message, /lacks VM\.Config\.Disk or VM\.Config\.CPU on \/vms\/101/);
});

test('400 names the parameters', (t) => {
  const errors = { memory: "type check ('integer') failed - got 'x'" };
  const error = errorOf({ status: 400, message: 'Parameter verification failed.', errors });
  t.deepEqual(error.details.parameters, errors);
  t.is(error.code, StatusCode.INVALID_ARGUMENT);
  t.regex(
    error.message,
    /^Proxmox API: PUT \/nodes\/pve1\/lxc\/101\/config: Parameter verification failed\. memory: type/,
  );
});

test('what is written first and refused then is ambiguous', (t) => {
  for (const said of [
    { message: "bridge 'vmbr9' does not exist" },
    { message: 'an error that nobody knows' },
    { status: 400, message: 'Parameter verification failed.', errors: { mp0: 'unable to hotplug mp0: x' } },
    { status: 400, message: 'Parameter verification failed.', errors: { memory: 'hotplug problem - x' } },
    { message: "VM 100 qmp command 'balloon' failed - got timeout" },
  ]) {
    const error = errorOf(said);
    t.true(error instanceof AmbiguousOutcomeError, error.message);
    t.regex(error.message, /read \/nodes\/pve1\/lxc\/101\/config and \/nodes\/pve1\/lxc\/101\/pending$/);
    t.false(errorOf(said, { ...CONFIG, method: 'GET' }) instanceof AmbiguousOutcomeError);
  }
});

test('answers of something in between', (t) => {
  const call = { ...CONFIG, method: 'GET' } as const;
  const from = (status: number, reason: string, body: string) =>
    errorFrom(call, { status, reason, body }, new Scrubber([]));
  t.like(from(500, '', ''), { kind: 'failed' });
  t.like(from(503, 'Service Unavailable', '<html><body>x</body></html>'), { kind: 'unreachable' });
  t.like(from(500, 'x', '[1'), { kind: 'failed' });
  t.like(from(500, 'CT 1 not running', '{"message":7,"errors":[]}'), { kind: 'notRunning' });
  t.false(from(500, 'x', '<html>').message.includes('<'));
  t.true(from(500, 'y'.repeat(5000), '').message.length < 1200);
  t.false(from(500, 'a\u0007b', '').message.includes('\u0007'));
});

test('what to read again', (t) => {
  const at = { node: 'n', vmid: 7 };
  const guest = '/nodes/{node}/qemu/{vmid}';
  const tasks = (vmid: number) => `/nodes/n/tasks?source=all&vmid=${vmid}`;
  const cases: [Call, string[]][] = [
    [
      { method: 'POST', template: '/nodes/{node}/lxc', at: { node: 'n' }, params: { vmid: 9 } },
      ['/nodes/n/lxc/9/config', tasks(9)],
    ],
    [{ method: 'POST', template: `${guest}/clone`, at, params: { newid: 8 } }, ['/nodes/n/qemu/8/config', tasks(7)]],
    [{ method: 'POST', template: `${guest}/status/stop`, at }, ['/nodes/n/qemu/7/status/current', tasks(7)]],
    [{ method: 'DELETE', template: guest, at }, ['/nodes/n/qemu/7/status/current', tasks(7)]],
    [{ method: 'PUT', template: `${guest}/config`, at }, ['/nodes/n/qemu/7/config', '/nodes/n/qemu/7/pending']],
    [{ method: 'PUT', template: `${guest}/resize`, at }, ['/nodes/n/qemu/7/config', tasks(7)]],
    [{ method: 'POST', template: `${guest}/snapshot`, at }, ['/nodes/n/qemu/7/snapshot', tasks(7)]],
    [{ method: 'POST', template: `${guest}/firewall/rules`, at }, ['/nodes/n/qemu/7/firewall/rules']],
    [
      {
        method: 'DELETE',
        template: '/nodes/{node}/storage/{storage}/content/{volume}',
        at: { node: 'n', storage: 's', volume: 'v' },
      },
      ['/nodes/n/storage/s/content'],
    ],
    [{ method: 'PUT', template: '/pools', params: { poolid: 'a' } }, ['/pools']],
  ];
  for (const [call, expected] of cases) t.deepEqual(rereadOf(call), expected);
});

const recorded = readErrors();

/** The kind of each recorded status line; those that match nothing must be in {@link UNMAPPED}. */
const RECORDED: readonly (readonly [RegExp, ErrorKind])[] = [
  [/^401 /, 'unauthenticated'],
  [/^501 /, 'notImplemented'],
  [/^403 .*(root@pam)/, 'rootOnly'],
  [/^403 .*pool .* does not exist/, 'notFound'],
  [/^403 /, 'forbidden'],
  [/^500 (CT|VM) is locked/, 'locked'],
  [/^500 detected modified/, 'modified'],
  [/^500 .*(already exists|already defined|pool member|belongs already)/, 'alreadyExists'],
  [/^500 .*already running$/, 'alreadyRunning'],
  [/^500 (CT|VM) \d+ not running$/, 'notRunning'],
  [/^500 .*(is running$|running container)/, 'running'],
  [/^500 .*protection mode/, 'protected'],
  [/^500 .*is not empty/, 'inUse'],
  [/^500 unable to get any free VMID/, 'exhausted'],
  [/^500 bridge .* does not exist/, 'unsupported'],
  [/^500 .*(does not exist|no such (user|token)|hostname lookup)/, 'notFound'],
  [/^500 .*(is not available$|does not support|template to a template|no format$|no prune-backups)/, 'unsupported'],
  [
    /^500 (unable to (delete required|modify read-only|shrink|parse|use snapshot name)|no options|format error)/,
    'invalid',
  ],
  [/^500 (missing value for|lower .* rule broken|only backups|'download' cannot)/, 'invalid'],
];
const UNMAPPED = /^500 (RRD error|upload failed|short read on command socket|missing 'arch')/;

(recorded ? test : test.skip)(
  `recorded errors have their kinds${recorded ? '' : ' (the transcripts are not beside this checkout)'}`,
  (t) => {
    t.true((recorded ?? []).length > 150);
    for (const { method, status, reason, body, file } of recorded ?? []) {
      const call: Call = { ...CONFIG, method: method as Call['method'] };
      const said = `${status} ${reason}`;
      // The body must not be needed: before 8.4 there was none.
      for (const answer of [body, status === 400 ? body : '{"data":null}']) {
        const error = errorFrom(call, { status, reason, body: answer }, new Scrubber([]));
        if (status === 400) {
          t.true(
            isKind(error, 'invalid', 'notFound', 'alreadyExists', 'rootOnly', 'unsupported'),
            `${file}: ${error.message}`,
          );
          t.is(error.kind === 'unsupported', error instanceof AmbiguousOutcomeError);
          continue;
        }
        const kind = RECORDED.find(([pattern]) => pattern.test(said))?.[1];
        if (kind === undefined) t.regex(said, UNMAPPED, file);
        t.is(error.kind, kind ?? 'failed', `${file}: ${said}`);
      }
    }
  },
);
