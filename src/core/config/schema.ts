import { isIP } from 'node:net';
import * as z from 'zod';
import { METRIC_GROUPS } from '../model/metric-groups.ts';
import { parseUlimit } from '../model/rlimits.ts';
import { bfcTable } from './bfc.ts';
import { type HandlerSchema, declaredHandlers } from './handlers.ts';
import { DEFAULT_LISTEN } from './listen-address.ts';
import { nriTable } from './nri.ts';
import { proxmoxTable } from './proxmox.ts';
import { rootfsTable } from './rootfs.ts';
import { routingTables } from './routing.ts';
import { tracingTable } from './tracing.ts';
import { declaredVmidRanges, type VmidRanges } from './vmid-ranges.ts';

const absolutePath = z
  .string()
  .regex(/^\/[^\0\n\r]*$/, 'must be an absolute path on one line, such as "/var/lib/proxmox-lxcri"');

const seconds = z.number().min(0).max(86_400);

const mirror = z.strictObject({
  registry: z.string().min(1).describe('registry host as in image names, such as "docker.io"'),
  endpoints: z
    .array(z.url({ protocol: /^https?$/ }))
    .min(1)
    .describe('tried in order before the registry itself; "http://…" without TLS'),
});

/** The names of handlers as an enum; any name when none is declared, as in a program that only reads other tables. */
function handlerName(handlers: readonly HandlerSchema[]): z.ZodType<string, string> {
  const [first, ...others] = handlers.map(({ name }) => name);
  return first === undefined ? z.string() : z.enum([first, ...others]);
}

function defaultHandler(handlers: readonly HandlerSchema[]) {
  const listed = handlers.map((handler) => JSON.stringify(handler.name)).join(' or ');
  return handlerName(handlers)
    .default(handlers[0]?.name ?? 'lxc')
    .describe(
      `handler of pods without a RuntimeClass that no rule of routing matches${listed === '' ? '' : `: ${listed}`}`,
    );
}

/** A table for each handler, with the handler's own keys. */
function handlerTables(handlers: readonly HandlerSchema[]) {
  const tables = handlers.map(({ name, summary, schema }) => [name, schema.prefault({}).describe(summary)] as const);
  return z
    .strictObject(Object.fromEntries(tables))
    .prefault({})
    .describe('RuntimeClass handlers') as unknown as z.ZodDefault<z.ZodType<Record<string, Record<string, unknown>>>>;
}

/**
 * The whole configuration. The `.describe()` strings are the comments of `config default`, written for the operator. Every
 * table and key has a default; unknown keys are refused.
 */
const makeSchema = (handlers: readonly HandlerSchema[], vmidRanges: z.ZodType<VmidRanges>) =>
  z
    .strictObject({
      version: z.literal(1).default(1).describe('format of this file'),
      root: absolutePath
        .default('/var/lib/proxmox-lxcri')
        .describe('directory of durable data: records, images, root filesystems'),
      state: absolutePath
        .default('/run/proxmox-lxcri')
        .describe('directory of runtime state: sockets, bundles, exit files. Must be on a tmpfs'),
      routing: routingTables(handlerName(handlers)),
      grpc: z
        .strictObject({
          listen: z
            .string()
            .regex(/^unix:\/\/\/[^\0\n\r]+$/, 'must be "unix:///absolute/path.sock"')
            .default(DEFAULT_LISTEN)
            .describe('socket for the kubelet and crictl, mode 0660'),
          group: z.number().int().min(0).default(0).describe('numeric id of the group that owns the socket'),
          max_message_bytes: z
            .number()
            .int()
            .min(4_194_304)
            .default(16_777_216)
            .describe('maximum size of a request or response; the kubelet uses 16 MiB'),
        })
        .prefault({})
        .describe('the CRI socket'),
      log: z
        .strictObject({
          level: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('log level; reloaded on SIGHUP'),
          format: z
            .enum(['auto', 'text', 'json'])
            .default('auto')
            .describe('log format; "auto" is text with colours on a terminal, JSON lines otherwise'),
        })
        .prefault({})
        .describe('log of the server, written to standard error'),
      metrics: z
        .strictObject({
          listen: z
            .string()
            .regex(
              /^$|^(\[[0-9a-fA-F:]+\]|[0-9.]+|localhost):\d{1,5}$|^unix:\/\/\/[^\0\n\r]{1,106}$/,
              'must be "ADDRESS:PORT", "unix:///absolute/path.sock", or "" to disable metrics',
            )
            .refine(
              (text) => text.startsWith('unix:') || Number(/\d*$/.exec(text)?.[0]) <= 65_535,
              'must have a port of at most 65535',
            )
            .default('127.0.0.1:11090')
            .describe(
              'address or unix socket (mode 0660) of /metrics for Prometheus, /healthz and /readyz; "" disables them',
            ),
          tls_certificate: absolutePath
            .or(z.literal(''))
            .default('')
            .describe(
              'PEM file of the certificate chain of this endpoint, read again when it changes; "" disables TLS',
            ),
          tls_key: absolutePath.or(z.literal('')).default('').describe('PEM file of the private key'),
          included_pod_metrics: z
            .array(z.enum(['all', ...METRIC_GROUPS]))
            .default(['all'])
            .describe(
              'groups of metrics that ListPodSandboxMetrics has of pods and containers, for the /metrics/cadvisor of a kubelet with the gate PodAndContainerStatsFromCRI; [] leaves container_last_seen',
            ),
        })
        .refine(
          (table) => (table.tls_certificate === '') === (table.tls_key === ''),
          'tls_certificate and tls_key must be set together',
        )
        .prefault({})
        .describe('metrics for Prometheus, and probes'),
      tracing: tracingTable(),
      runtime: z
        .strictObject({
          default_handler: defaultHandler(handlers),
          oci_runtime: z.string().min(1).default('crun').describe('OCI runtime: a name on PATH or a path'),
          conmon: z.string().min(1).default('conmon').describe('container monitor: a name on PATH or a path'),
          cgroup_driver: z
            .enum(['auto', 'cgroupfs', 'systemd'])
            .default('auto')
            .describe(
              'manager of pod cgroups; "auto" follows cgroup_parent (a slice or a path), and without one is "systemd" on nodes that ' +
                'systemd boots. Must match the cgroupDriver of the kubelet (which requests it from here). Drain the node before changing it',
            ),
          cgroup_parent: z
            .string()
            .regex(
              /^$|^\/[^\0\n\r]*$|^[^/\0\n\r]+\.slice$/,
              'must be an absolute path, such as "/proxmox-lxcri", or with the systemd driver a slice, such as "proxmox-lxcri.slice"',
            )
            .default('')
            .describe(
              'parent cgroup of pods whose request has none (requests of the kubelet always have one); "" is "/proxmox-lxcri", or ' +
                '"proxmox-lxcri.slice" with the systemd driver',
            ),
          exec_drain_seconds: seconds
            .default(1)
            .describe('time that ExecSync waits for output that background processes keep open'),
          cdi_spec_dirs: z
            .array(absolutePath)
            .default(['/etc/cdi', '/var/run/cdi'])
            .describe('directories of CDI specifications (*.json, *.yaml); later directories take precedence'),
          default_ulimits: z
            .array(
              z
                .string()
                .refine(
                  (text) => parseUlimit(text) !== undefined,
                  'must be "NAME=SOFT[:HARD]" with a name of getrlimit(2) and SOFT not above HARD, such as "nofile=1024:65536" or "core=0:unlimited"',
                ),
            )
            .refine(
              (list) => new Set(list.map((text) => text.split('=')[0])).size === list.length,
              'must name each limit once',
            )
            .default([])
            .describe(
              'resource limits of container processes, "NAME=SOFT[:HARD]" each, at most those of the server. Limits that are not ' +
                "listed are the server's, with 1024 as the soft limit of nofile",
            ),
          enable_unprivileged_ports: z
            .boolean()
            .default(true)
            .describe(
              'allow every user to listen on ports below 1024 in pods with their own network; pods that set ' +
                'net.ipv4.ip_unprivileged_port_start keep their value',
            ),
          enable_unprivileged_icmp: z
            .boolean()
            .default(true)
            .describe(
              'allow ping without capabilities in pods with their own network; pods that set net.ipv4.ping_group_range keep their value',
            ),
          absent_mount_sources_to_reject: z
            .array(absolutePath)
            .default([])
            .describe(
              'host paths that are not created when they do not exist: the container is refused. Other missing paths are created as directories. ' +
                'CRI-O documents "/etc/hostname", which a pod would otherwise create as a directory on the node',
            )
            .meta({ examples: [['/etc/hostname']] }),
          pids_limit: z
            .number()
            .int()
            .min(-1)
            .default(-1)
            .describe('maximum number of processes in a container; -1: no limit'),
        })
        .refine((table) => table.cgroup_driver !== 'systemd' || /^$|\.slice$/.test(table.cgroup_parent), {
          message: 'must be a slice with cgroup_driver = "systemd"',
          path: ['cgroup_parent'],
        })
        .refine((table) => table.cgroup_driver !== 'cgroupfs' || /^$|^\//.test(table.cgroup_parent), {
          message: 'must be an absolute path with cgroup_driver = "cgroupfs"',
          path: ['cgroup_parent'],
        })
        .prefault({})
        .describe('container execution'),
      handlers: handlerTables(handlers),
      network: z
        .strictObject({
          config_dir: absolutePath
            .default('/etc/cni/net.d')
            .describe('directory of CNI configuration lists; the first by name are used, see max_conf_num'),
          max_conf_num: z
            .number()
            .int()
            .min(0)
            .max(16)
            .default(1)
            .describe(
              "number of networks of each pod, as eth0, eth1, …; 0: all in config_dir. The first network has the pod's addresses",
            ),
          conf_template: z
            .string()
            .regex(/^$|^\/[^\0\n\r]*$/, 'must be an absolute path, or "" for none')
            .default('')
            .describe(
              'template of a CNI configuration list, written to config_dir as 10-proxmox-lxcri.conflist when the kubelet sends ' +
                'the range of pod addresses, unless another configuration exists; "" for none. A string that is exactly ' +
                '"{{PodCIDR}}" is replaced by the range, "{{PodCIDRRanges}}" by host-local\'s list of ranges (IPv4 and IPv6), "{{Routes}}" by a ' +
                'default route for each family',
            ),
          plugin_dirs: z
            .array(absolutePath)
            .min(1)
            .default(['/opt/cni/bin', '/usr/lib/cni'])
            .describe('directories of CNI plugins, searched in order'),
          prepared: z
            .int()
            .min(0)
            .max(100)
            .default(0)
            .describe(
              'how many network namespaces are attached ahead of their pods, so that RunPodSandbox need not wait for CNI plugins; 0 for none. Only ' +
                'where no plugin looks at the pod, see docs/networking.md',
            )
            .meta({ examples: [4] }),
        })
        .prefault({})
        .describe('pod networks by CNI plugins'),
      streaming: z
        .strictObject({
          address: z
            .string()
            .refine((text) => isIP(text) !== 0, 'must be an IP address, such as "127.0.0.1" or "::1"')
            .default('127.0.0.1')
            .describe('address of the streaming server; the kubelet connects to it on this host'),
          port: z
            .number()
            .int()
            .min(0)
            .max(65_535)
            .default(0)
            .describe('port of the streaming server; 0: a free port at each start'),
          idle_timeout_seconds: seconds
            .default(14_400)
            .describe('time without traffic after which a streaming session is closed; 0: never'),
          tls_certificate: absolutePath
            .or(z.literal(''))
            .default('')
            .describe('PEM file of the certificate chain; "" disables TLS, which is safe on loopback'),
          tls_key: absolutePath.or(z.literal('')).default('').describe('PEM file of the private key'),
        })
        .refine(
          (table) => (table.tls_certificate === '') === (table.tls_key === ''),
          'tls_certificate and tls_key must be set together',
        )
        .prefault({})
        .describe('streaming sessions: exec, attach and port-forward'),
      images: z
        .strictObject({
          platform: z
            .string()
            .regex(/^$|^linux\/[a-z0-9]+(\/v\d+)?$/, 'must look like "linux/amd64"')
            .default('')
            .describe('platform selected from multi-platform images; "" is the platform of this machine'),
          default_registry: z.string().min(1).default('docker.io').describe('registry of image names without one'),
          mirrors: z
            .array(mirror)
            .default([])
            .describe('mirrors of registries')
            .meta({ examples: [[{ registry: 'docker.io', endpoints: ['https://mirror.example'] }]] }),
          insecure_registries: z
            .array(z.string())
            .default([])
            .describe(
              'registry hosts (HOST:PORT) that may be reached by plain HTTP; 127.0.0.1 and localhost always may',
            ),
          certs_dirs: z
            .array(absolutePath)
            .default(['/etc/proxmox-lxcri/certs.d', '/etc/containerd/certs.d', '/etc/containers/certs.d'])
            .describe(
              'directories with HOST/hosts.toml (mirrors, CAs, headers) or HOST/*.crt; the first with HOST is used',
            ),
          registries_conf: z
            .string()
            .regex(/^$|^\/[^\0\n\r]*$/, 'must be an absolute path, or "" for none')
            .default('/etc/containers/registries.conf')
            .describe('mirrors, blocked and insecure registries, see containers-registries.conf(5); "" for none'),
          auth_files: z
            .array(absolutePath)
            .default(['/etc/proxmox-lxcri/auth.json'])
            .describe('credentials for pulls without any, see containers-auth.json(5); the first match is used'),
          signature_policy: z
            .string()
            .regex(/^$|^\/[^\0\n\r]*$/, 'must be an absolute path, or "" for none')
            .default('/etc/containers/policy.json')
            .describe(
              'signature policy, see containers-policy.json(5); skopeo pulls images that must be signed; "" for none',
            ),
          archive_dir: z
            .string()
            .regex(/^$|^\/[^\0\n\r]*$/, 'must be an absolute path, or "" for none')
            .default('')
            .describe(
              'directory of image archives (*.tar, also .gz, .xz, .zst) that are imported at start, for nodes without a registry',
            ),
          max_concurrent_downloads: z
            .number()
            .int()
            .min(1)
            .max(32)
            .default(3)
            .describe('maximum number of concurrent layer downloads per pull'),
          stall_seconds: seconds.default(60).describe('time after which a stalled transfer is retried; 0: never'),
          min_bytes_per_second: z
            .number()
            .int()
            .min(0)
            .max(2 ** 30)
            .default(4096)
            .describe('average rate within stall_seconds below which a transfer counts as stalled; 0: none'),
          pinned: z.array(z.string()).default([]).describe('pinned images, which the kubelet does not garbage-collect'),
        })
        .prefault({})
        .describe('images and registries'),
      bfc: bfcTable(),
      nri: nriTable(),
      rootfs: rootfsTable(),
      proxmox: proxmoxTable(vmidRanges),
    })
    .superRefine(({ runtime, routing, proxmox }, context) => {
      if (proxmox.hosts.length > 0) return;
      const isAbsent = (name: string) => handlers.some((one) => one.name === name && one.needsProxmox === true);
      const check = (name: string, path: (string | number)[]) => {
        const message = `${name} needs Proxmox VE: set proxmox.hosts`;
        if (isAbsent(name)) context.addIssue({ code: 'custom', path, message, input: name });
      };
      check(runtime.default_handler, ['runtime', 'default_handler']);
      for (const [index, { handler }] of routing.entries()) check(handler, ['routing', index, 'handler']);
    });

let made: { of: readonly unknown[]; schema: ReturnType<typeof makeSchema> } | undefined;

/** The schema with the tables of the declared handlers and ranges of VMIDs; built once for what is declared. */
export function configSchema(): ReturnType<typeof makeSchema> {
  const [handlers, ranges] = [declaredHandlers(), declaredVmidRanges()];
  if (made?.of[0] !== handlers || made.of[1] !== ranges)
    made = { of: [handlers, ranges], schema: makeSchema(handlers, ranges) };
  return made.schema;
}

/** The validated configuration with all defaults. */
export type Config = z.output<ReturnType<typeof makeSchema>>;
