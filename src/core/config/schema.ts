import { isIP } from 'node:net';
import { z } from 'zod';
import { parseUlimit } from '../model/rlimits.ts';
import { type HandlerSchema, declaredHandlers } from './handlers.ts';
import { DEFAULT_LISTEN } from './listen-address.ts';

const absolutePath = z
  .string()
  .regex(/^\/[^\0\n\r]*$/, 'must be an absolute path on one line, such as "/var/lib/proxmox-lxcri"');

const seconds = z.number().min(0).max(86_400);

const mirror = z.strictObject({
  registry: z.string().min(1).describe('registry host as it stands in image names, such as "docker.io"'),
  endpoints: z
    .array(z.url({ protocol: /^https?$/ }))
    .min(1)
    .describe('tried in order before the registry itself; "http://…" for one without TLS'),
});

/** The names of handlers as a choice; any name where none is declared, as in a program that only reads other tables. */
function handlerName(handlers: readonly HandlerSchema[]) {
  const [first, ...others] = handlers.map(({ name }) => name);
  const name: z.ZodType<string, string> = first === undefined ? z.string() : z.enum([first, ...others]);
  const listed = handlers.map((handler) => JSON.stringify(handler.name)).join(' or ');
  return name
    .default(first ?? 'lxc')
    .describe(`handler of pods that name no RuntimeClass${listed === '' ? '' : `: ${listed}`}`);
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
 * The whole configuration. `.describe()` texts become the comments of `config default`, so they are written for the
 * operator. Every table and key has a default; unknown keys are refused.
 */
const makeSchema = (handlers: readonly HandlerSchema[]) =>
  z.strictObject({
    version: z.literal(1).default(1).describe('format of this file'),
    root: absolutePath.default('/var/lib/proxmox-lxcri').describe('durable data: records, images, root file systems'),
    state: absolutePath
      .default('/run/proxmox-lxcri')
      .describe('what a reboot may forget: sockets, bundles, exit files. Put it on a tmpfs'),
    grpc: z
      .strictObject({
        listen: z
          .string()
          .regex(/^unix:\/\/\/[^\0\n\r]+$/, 'must be "unix:///absolute/path.sock"')
          .default(DEFAULT_LISTEN)
          .describe('where the kubelet and crictl connect; the socket has mode 0660'),
        group: z.number().int().min(0).default(0).describe('numeric group that owns the socket'),
        max_message_bytes: z
          .number()
          .int()
          .min(4_194_304)
          .default(16_777_216)
          .describe('largest message in and out; the kubelet uses 16 MiB'),
      })
      .prefault({})
      .describe('the socket that speaks CRI'),
    log: z
      .strictObject({
        level: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('read again on SIGHUP'),
        format: z
          .enum(['auto', 'text', 'json'])
          .default('auto')
          .describe('"auto" is text with colours on a terminal, JSON lines otherwise'),
      })
      .prefault({})
      .describe('messages of the server, written to standard error'),
    metrics: z
      .strictObject({
        listen: z
          .string()
          .regex(
            /^$|^(\[[0-9a-fA-F:]+\]|[0-9.]+|localhost):\d{1,5}$/,
            'must be "ADDRESS:PORT" or "" to switch metrics off',
          )
          .refine((text) => Number(/\d*$/.exec(text)?.[0]) <= 65_535, 'must have a port of at most 65535')
          .default('127.0.0.1:11090')
          .describe('address of the Prometheus page /metrics; "" switches it off'),
      })
      .prefault({})
      .describe('figures for Prometheus'),
    runtime: z
      .strictObject({
        default_handler: handlerName(handlers),
        oci_runtime: z.string().min(1).default('crun').describe('OCI runtime: a name on PATH or a path'),
        conmon: z.string().min(1).default('conmon').describe('container monitor: a name on PATH or a path'),
        cgroup_driver: z
          .enum(['cgroupfs', 'systemd'])
          .default('cgroupfs')
          .describe(
            'who makes the cgroups of pods: "systemd" on nodes that it runs, the same as the kubelet\'s cgroupDriver (which asks here). ' +
              'Drain the node before changing it',
          ),
        cgroup_parent: z
          .string()
          .regex(
            /^$|^\/[^\0\n\r]*$|^[^/\0\n\r]+\.slice$/,
            'must be an absolute path, such as "/proxmox-lxcri", or with the systemd driver a slice, such as "proxmox-lxcri.slice"',
          )
          .default('')
          .describe(
            'cgroup of pods whose request names no parent (the kubelet always names one); "" is "/proxmox-lxcri", or ' +
              '"proxmox-lxcri.slice" with the systemd driver',
          ),
        exec_drain_seconds: seconds
          .default(1)
          .describe('how long ExecSync waits for output that background processes hold open'),
        cdi_spec_dirs: z
          .array(absolutePath)
          .default(['/etc/cdi', '/var/run/cdi'])
          .describe('folders of CDI specifications (*.json, *.yaml); a device in a later one counts'),
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
            'limits of the processes of containers, "NAME=SOFT[:HARD]" each; none is above what the server has itself. What is not ' +
              "listed is as the server's own, with 1024 as the soft limit of nofile",
          ),
        enable_unprivileged_ports: z
          .boolean()
          .default(true)
          .describe(
            'any user may listen on ports below 1024 in pods with a network of their own; pods that set ' +
              'net.ipv4.ip_unprivileged_port_start keep their value',
          ),
        enable_unprivileged_icmp: z
          .boolean()
          .default(true)
          .describe(
            'ping needs no capability in pods with a network of their own; pods that set net.ipv4.ping_group_range keep their value',
          ),
        absent_mount_sources_to_reject: z
          .array(absolutePath)
          .default([])
          .describe(
            'host paths that a container cannot mount while they do not exist; any other missing path is created as a directory. ' +
              'CRI-O documents "/etc/hostname", which a pod would otherwise create as a directory on the node',
          )
          .meta({ examples: [['/etc/hostname']] }),
        pids_limit: z.number().int().min(-1).default(-1).describe('processes a container may have; -1 sets no limit'),
      })
      .refine((table) => table.cgroup_driver === 'cgroupfs' || /^$|\.slice$/.test(table.cgroup_parent), {
        message: 'must be a slice with cgroup_driver = "systemd"',
        path: ['cgroup_parent'],
      })
      .refine((table) => table.cgroup_driver === 'systemd' || /^$|^\//.test(table.cgroup_parent), {
        message: 'must be an absolute path with cgroup_driver = "cgroupfs"',
        path: ['cgroup_parent'],
      })
      .prefault({})
      .describe('how containers are run'),
    handlers: handlerTables(handlers),
    network: z
      .strictObject({
        config_dir: absolutePath
          .default('/etc/cni/net.d')
          .describe('CNI configuration lists; the first by name are used, see max_conf_num'),
        max_conf_num: z
          .number()
          .int()
          .min(0)
          .max(16)
          .default(1)
          .describe(
            "how many networks each pod is attached to, as eth0, eth1, …; 0: all in config_dir. The first network's addresses are the pod's",
          ),
        conf_template: z
          .string()
          .regex(/^$|^\/[^\0\n\r]*$/, 'must be an absolute path, or "" for none')
          .default('')
          .describe(
            'CNI configuration list that is filled in and written to config_dir as 10-proxmox-lxcri.conflist when the kubelet tells ' +
              'the range of pod addresses, unless another configuration lies there; "" for none. A text value that is exactly ' +
              '"{{PodCIDR}}" becomes the range, "{{PodCIDRRanges}}" host-local\'s list of ranges (IPv4 and IPv6), "{{Routes}}" a ' +
              'default route for each family',
          ),
        plugin_dirs: z
          .array(absolutePath)
          .min(1)
          .default(['/opt/cni/bin', '/usr/lib/cni'])
          .describe('where CNI plugins are looked for, in order'),
      })
      .prefault({})
      .describe('the pod network, made by CNI plugins'),
    streaming: z
      .strictObject({
        address: z
          .string()
          .refine((text) => isIP(text) !== 0, 'must be an IP address, such as "127.0.0.1" or "::1"')
          .default('127.0.0.1')
          .describe('address of the server for exec, attach and port-forward; the kubelet connects to it on this host'),
        port: z.number().int().min(0).max(65_535).default(0).describe('0 takes a free port at each start'),
        idle_timeout_seconds: seconds
          .default(14_400)
          .describe('a session without a byte for so long is closed; 0: never'),
        tls_certificate: absolutePath
          .or(z.literal(''))
          .default('')
          .describe('PEM file of the certificate chain; "" serves without TLS, which is right on loopback'),
        tls_key: absolutePath.or(z.literal('')).default('').describe('PEM file of the key to the certificate'),
      })
      .refine(
        (table) => (table.tls_certificate === '') === (table.tls_key === ''),
        'tls_certificate and tls_key must be set together',
      )
      .prefault({})
      .describe('sessions: exec, attach and port-forward'),
    images: z
      .strictObject({
        platform: z
          .string()
          .regex(/^$|^linux\/[a-z0-9]+(\/v\d+)?$/, 'must look like "linux/amd64"')
          .default('')
          .describe('platform chosen from multi-platform images; "" is this machine\'s'),
        default_registry: z.string().min(1).default('docker.io').describe('registry of image names that name none'),
        mirrors: z
          .array(mirror)
          .default([])
          .describe("other places to fetch a registry's images from")
          .meta({ examples: [[{ registry: 'docker.io', endpoints: ['https://mirror.example'] }]] }),
        insecure_registries: z
          .array(z.string())
          .default([])
          .describe('registry hosts (HOST:PORT) spoken to by plain HTTP; 127.0.0.1 and localhost always may be'),
        certs_dirs: z
          .array(absolutePath)
          .default(['/etc/proxmox-lxcri/certs.d', '/etc/containerd/certs.d', '/etc/containers/certs.d'])
          .describe(
            'folders with HOST/hosts.toml (mirrors, authorities, headers) or HOST/*.crt; the first with HOST counts',
          ),
        registries_conf: z
          .string()
          .regex(/^$|^\/[^\0\n\r]*$/, 'must be an absolute path, or "" for none')
          .default('/etc/containers/registries.conf')
          .describe('mirrors, blocked and insecure registries as containers-registries.conf(5) has them; "" for none'),
        auth_files: z
          .array(absolutePath)
          .default(['/etc/proxmox-lxcri/auth.json'])
          .describe(
            'credentials as containers-auth.json(5) has them, for pulls that bring none; the first that fits counts',
          ),
        signature_policy: z
          .string()
          .regex(/^$|^\/[^\0\n\r]*$/, 'must be an absolute path, or "" for none')
          .default('/etc/containers/policy.json')
          .describe('containers-policy.json(5): pulls that must be signed are made by skopeo; "" for none'),
        archive_dir: z
          .string()
          .regex(/^$|^\/[^\0\n\r]*$/, 'must be an absolute path, or "" for none')
          .default('')
          .describe(
            'folder of image archives (*.tar, also .gz, .xz, .zst) taken in at start, for nodes without a registry',
          ),
        max_concurrent_downloads: z
          .number()
          .int()
          .min(1)
          .max(32)
          .default(3)
          .describe('layers fetched at once per pull'),
        stall_seconds: seconds.default(60).describe('a transfer without a byte for so long is given up; 0: never'),
        pinned: z.array(z.string()).default([]).describe('images that the kubelet must not collect'),
      })
      .prefault({})
      .describe('where images come from'),
  });

let made: { handlers: readonly HandlerSchema[]; schema: ReturnType<typeof makeSchema> } | undefined;

/** The schema with the tables of the handlers that are declared; made once for each list of handlers. */
export function configSchema(): ReturnType<typeof makeSchema> {
  const handlers = declaredHandlers();
  if (made?.handlers !== handlers) made = { handlers, schema: makeSchema(handlers) };
  return made.schema;
}

/** The checked configuration with every default filled in. */
export type Config = z.output<ReturnType<typeof makeSchema>>;
