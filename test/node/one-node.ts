import { execFile } from 'node:child_process';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { startRegistry, type Registry } from '../fixtures/registry.ts';
import { accepts } from '../lib/accepts.ts';
import { eventually } from '../lib/eventually.ts';
import { unmountBelow } from '../lib/mounts.ts';
import { programFile } from '../lib/program.ts';
import { coreDns, runtimeClasses } from './cluster-objects.ts';
import { writeCredentials, type User } from './credentials.ts';
import { GATES, kubeletConfig, type KubeletSettings } from './kubelet-config.ts';
import { Program } from './program.ts';

const NODE_ADDRESS = '172.30.0.1';
const API_SERVICE = '10.96.0.1';
const DNS_SERVICE = '10.96.0.10';
const PODS = '10.244.0.0/24';
const REGISTRY_PORT = 5000;
/** What the kubelet sets for the whole machine, with the values it wants. */
const MACHINE_SETTINGS = {
  'vm/overcommit_memory': 1,
  'vm/panic_on_oom': 0,
  'kernel/panic': 10,
  'kernel/panic_on_oops': 1,
  'kernel/keys/root_maxkeys': 1000000,
  'kernel/keys/root_maxbytes': 25000000,
};

export interface NodeOptions extends KubeletSettings {
  /** Everything of the node is in this directory; the caller removes it. */
  directory: string;
  /** The directory that test/node/build prints. */
  binaries: string;
  /** An OCI image layout with the images of images.ts. */
  images: string;
  /** Handler of pods without a RuntimeClass. */
  handler: string;
  /** A kubelet alone, without a cluster. */
  standalone?: boolean;
  /** More TOML for the server's configuration. */
  toml?: string;
}

/**
 * One node with this server, the kubelet and, unless standalone, a whole control plane, as a test or a person uses it. Runs in
 * test/sandbox, whose namespaces hold everything but the directory.
 */
export class OneNode {
  readonly directory: string;
  readonly #options: NodeOptions;
  /** In the order of their start. */
  readonly #programs = new Map<string, Program>();
  #registry: Registry | undefined;

  private constructor(options: NodeOptions) {
    this.directory = options.directory;
    this.#options = options;
  }

  /** Starts a node, and waits until it is Ready; what was started is ended when that fails. */
  static async start(options: NodeOptions): Promise<OneNode> {
    const node = new OneNode(options);
    try {
      await node.#start();
    } catch (error) {
      await node.stop();
      throw error;
    }
    return node;
  }

  get socket(): string {
    return join(this.directory, 'cri.sock');
  }

  /** Directory of static pods. */
  get manifests(): string {
    return join(this.directory, 'manifests');
  }

  /** Where a standalone kubelet answers without a login. */
  readonly kubeletUrl = 'http://127.0.0.1:10255';

  /** The log of a program, or of the `server`. */
  log(name: string): Promise<string> {
    return readFile(join(this.directory, 'logs', `${name}.log`), 'utf8');
  }

  /** A program of the node: `server`, `kubelet`, `kube-apiserver` and so on. */
  program(name: string): Program {
    const program = this.#programs.get(name);
    if (!program) throw new Error(`the node runs no ${name}`);
    return program;
  }

  /** Runs kubectl as the administrator and returns its standard output. */
  async kubectl(...args: string[]): Promise<string> {
    return (await this.#run('kubectl', args)).stdout;
  }

  /** Gives objects to the API. */
  async apply(...objects: object[]): Promise<void> {
    const file = join(this.directory, 'apply.json');
    await writeFile(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
    await this.kubectl('apply', '-f', file);
  }

  /** Runs a shell script with kubectl as the administrator and returns its standard output. */
  async sh(script: string): Promise<string> {
    return (await this.#run('bash', ['-c', script])).stdout;
  }

  /** Runs a command of the server's own command line and returns its standard output. */
  async cli(command: string, ...args: string[]): Promise<string> {
    const whole = [programFile('main'), command, '--address', `unix://${this.socket}`, ...args];
    return (await this.#run(process.execPath, whole)).stdout;
  }

  kubeconfig(user: User): string {
    return join(this.directory, 'credentials', `${user}.kubeconfig`);
  }

  /**
   * Removes all pods from the server, and ends what was started, the last first.
   * @throws AggregateError with all that failed, when the rest has been done.
   */
  async stop(): Promise<void> {
    const errors: unknown[] = [];
    const attempt = async (step: () => Promise<unknown>) => step().catch((error: unknown) => errors.push(error));
    for (const program of [...this.#programs.values()].reverse()) {
      if (program.name === 'server' && program.pid !== undefined) await attempt(() => this.#removePods());
      await attempt(() => program.stop(program.name === 'etcd' ? 'SIGKILL' : 'SIGTERM'));
    }
    await attempt(async () => this.#registry?.[Symbol.asyncDispose]());
    await attempt(() => unmountBelow(this.directory));
    // Absent when the start failed early.
    await this.#run('ip', ['link', 'delete', 'node0']).catch(() => undefined);
    if (errors.length > 0) throw new AggregateError(errors, `the node did not end: ${errors.map(String).join('; ')}`);
  }

  /** Starts the kubelet with other settings; pods go on. */
  async restartKubelet(settings: KubeletSettings, signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    await this.program('kubelet').stop(signal);
    await this.#configureKubelet(settings);
    await this.#startKubelet();
  }

  /** Waits until the server answers again after its start. */
  async serverAnswers(): Promise<void> {
    await eventually('the socket of the server', async () => {
      await this.program('server').check();
      return accepts(this.socket);
    });
  }

  async #start(): Promise<void> {
    await chmod(this.directory, 0o711);
    for (const name of ['logs', 'manifests', 'cni', 'credentials', 'etcd', 'kubelet', 'pki', 'plugins', 'sysctl'])
      await mkdir(join(this.directory, name), { recursive: true });
    await this.#makeNetwork();
    // The kubelet makes its links to the logs here, wherever its directories are.
    await this.#run('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', '/var/log']);
    this.#registry = await startRegistry(REGISTRY_PORT, join(this.directory, 'registry'), this.#options.images);
    await this.#startServer();
    if (!this.#options.standalone) await this.#startControlPlane();
    await this.#configureKubelet(this.#options);
    await this.#startKubelet();
    if (!this.#options.standalone) await this.#startServices();
  }

  async #makeNetwork(): Promise<void> {
    const ip = (...args: string[]) => this.#run('ip', args);
    await ip('link', 'add', 'node0', 'type', 'veth', 'peer', 'name', 'outside0');
    await ip('address', 'add', `${NODE_ADDRESS}/24`, 'dev', 'node0');
    await ip('link', 'set', 'node0', 'up');
    await ip('link', 'set', 'outside0', 'up');
    // The kubelet and the API server take the address of the default route.
    await ip('route', 'add', 'default', 'dev', 'node0', 'src', NODE_ADDRESS);
  }

  async #startServer(): Promise<void> {
    const { handler, toml = '' } = this.#options;
    const ipam = { type: 'host-local', dataDir: join(this.directory, 'ipam'), ranges: [[{ subnet: PODS }]] };
    // Routed, not bridged: the node's rules of Services see packets between its pods.
    const plugins = [
      { type: 'ptp', ipMasq: true, ipam: { ...ipam, routes: [{ dst: '0.0.0.0/0' }] } },
      { type: 'portmap', capabilities: { portMappings: true } },
    ];
    await writeFile(
      join(this.directory, 'cni', '10-node.conflist'),
      JSON.stringify({ cniVersion: '1.0.0', name: 'node', plugins }),
    );
    const mirrors = ['registry.k8s.io', 'docker.io', 'gcr.io'].map(
      (registry) =>
        `[[images.mirrors]]\nregistry = "${registry}"\nendpoints = ["http://127.0.0.1:${String(REGISTRY_PORT)}"]\n`,
    );
    await writeFile(
      join(this.directory, 'config.toml'),
      `root = "${this.directory}/root"
state = "${this.directory}/state"
[grpc]
listen = "unix://${this.socket}"
[metrics]
listen = ""
[network]
config_dir = "${this.directory}/cni"
[runtime]
default_handler = "${handler}"
cgroup_parent = "${this.#cgroup}/pods"
[images]
${mirrors.join('')}
${toml}`,
    );
    const serve = ['--disable-sigusr1', programFile('main'), 'serve', '--config', join(this.directory, 'config.toml')];
    await this.#startProgram('server', process.execPath, ...serve);
    await this.serverAnswers();
  }

  get #cgroup(): string {
    const cgroup = process.env['PROXMOX_LXCRI_TEST_CGROUP'];
    if (cgroup === undefined) throw new Error('run this below test/sandbox');
    return cgroup;
  }

  async #startControlPlane(): Promise<void> {
    const credentials = join(this.directory, 'credentials');
    await writeCredentials(credentials, NODE_ADDRESS, API_SERVICE);
    const of = (name: string) => join(credentials, name);
    const gates = Object.entries({ ...GATES, ...this.#options.gates }).map(([name, on]) => `${name}=${String(on)}`);
    const peers = 'http://127.0.0.1:2380';
    const clients = 'http://127.0.0.1:2379';
    await this.#startProgram(
      'etcd',
      'etcd',
      '--name=node1',
      `--data-dir=${join(this.directory, 'etcd')}`,
      '--unsafe-no-fsync',
      `--listen-client-urls=${clients}`,
      `--advertise-client-urls=${clients}`,
      `--listen-peer-urls=${peers}`,
      `--initial-advertise-peer-urls=${peers}`,
      `--initial-cluster=node1=${peers}`,
    );
    await this.#startBinary(
      'kube-apiserver',
      `--etcd-servers=${clients}`,
      `--bind-address=${NODE_ADDRESS}`,
      `--advertise-address=${NODE_ADDRESS}`,
      '--service-cluster-ip-range=10.96.0.0/16',
      '--allow-privileged',
      '--authorization-mode=Node,RBAC',
      '--enable-admission-plugins=NodeRestriction',
      `--service-account-issuer=https://kubernetes.default.svc.cluster.local`,
      `--service-account-key-file=${of('sa.pub')}`,
      `--service-account-signing-key-file=${of('sa.key')}`,
      `--token-auth-file=${of('tokens.csv')}`,
      `--client-ca-file=${of('ca.crt')}`,
      `--tls-cert-file=${of('server.crt')}`,
      `--tls-private-key-file=${of('server.key')}`,
      `--kubelet-client-certificate=${of('client.crt')}`,
      `--kubelet-client-key=${of('client.key')}`,
      '--kubelet-preferred-address-types=InternalIP',
      `--proxy-client-cert-file=${of('front-proxy.crt')}`,
      `--proxy-client-key-file=${of('front-proxy.key')}`,
      `--requestheader-client-ca-file=${of('front-proxy-ca.crt')}`,
      '--requestheader-username-headers=X-Remote-User',
      '--requestheader-group-headers=X-Remote-Group',
      '--requestheader-extra-headers-prefix=X-Remote-Extra-',
      '--requestheader-allowed-names=front-proxy-client',
      `--feature-gates=${gates.join(',')}`,
    );
    await eventually('an API server that is ready', async () => {
      await this.program('kube-apiserver').check();
      return this.kubectl('get', '--raw', '/readyz').catch(() => undefined);
    });
    await this.apply(...runtimeClasses(['lxc', 'crun']));
    await this.#startBinary(
      'kube-controller-manager',
      `--kubeconfig=${this.kubeconfig('kube-controller-manager')}`,
      `--root-ca-file=${of('ca.crt')}`,
      `--service-account-private-key-file=${of('sa.key')}`,
      '--use-service-account-credentials',
      '--leader-elect=false',
      '--allocate-node-cidrs=false',
      `--cluster-signing-cert-file=${of('ca.crt')}`,
      `--cluster-signing-key-file=${of('ca.key')}`,
      '--node-monitor-grace-period=5m',
      '--kube-api-qps=200',
      '--kube-api-burst=400',
    );
    await this.#startBinary(
      'kube-scheduler',
      `--kubeconfig=${this.kubeconfig('kube-scheduler')}`,
      '--leader-elect=false',
      '--kube-api-qps=200',
      '--kube-api-burst=400',
    );
  }

  async #configureKubelet(settings: KubeletSettings): Promise<void> {
    const at = (name: string) => join(this.directory, name);
    const paths = { manifests: this.manifests, socket: this.socket, plugins: at('plugins'), cgroup: this.#cgroup };
    const cluster = this.#options.standalone ? undefined : { ca: at('credentials/ca.crt'), dns: DNS_SERVICE };
    await writeFile(at('kubelet.json'), kubeletConfig(paths, cluster, settings));
  }

  async #startKubelet(): Promise<void> {
    const at = (name: string) => join(this.directory, name);
    const settings = await Promise.all(
      Object.entries(MACHINE_SETTINGS).map(async ([name, value]) => {
        const stand = join(at('sysctl'), name.replaceAll('/', '.'));
        await writeFile(stand, `${String(value)}\n`);
        return `[ ! -e /proc/sys/${name} ] || mount --bind ${stand} /proc/sys/${name}; `;
      }),
    );
    // Only /proc is its own: its mounts of volumes must reach the server, and a full /proc user namespaces.
    const script = `mount --make-rprivate /proc; ${settings.join('')}exec "$@"`;
    const kubelet = [
      join(resolve(this.#options.binaries), 'kubelet'),
      `--config=${at('kubelet.json')}`,
      `--root-dir=${at('kubelet')}`,
      `--cert-dir=${at('pki')}`,
      '--hostname-override=node1',
      `--node-ip=${NODE_ADDRESS}`,
      '--v=2',
      ...(this.#options.standalone ? [] : [`--kubeconfig=${this.kubeconfig('kubelet')}`]),
    ];
    if (this.#programs.has('kubelet')) await this.program('kubelet').start();
    else
      await this.#startProgram(
        'kubelet',
        'unshare',
        '--mount',
        '--propagation',
        'unchanged',
        'sh',
        '-ec',
        script,
        'sh',
        ...kubelet,
      );
    await eventually('a healthy kubelet', async () => {
      await this.program('kubelet').check();
      return (await fetch('http://127.0.0.1:10248/healthz').catch(() => undefined))?.ok;
    });
  }

  async #startServices(): Promise<void> {
    await this.kubectl('wait', '--for=create', '--timeout=300s', 'node/node1');
    await this.kubectl('wait', '--for=condition=Ready', '--timeout=300s', 'node/node1');
    await this.#startBinary(
      'kube-proxy',
      `--kubeconfig=${this.kubeconfig('kube-proxy')}`,
      '--hostname-override=node1',
      '--proxy-mode=iptables',
      `--cluster-cidr=${PODS}`,
      '--conntrack-max-per-core=0',
      '--conntrack-tcp-timeout-established=0',
      '--conntrack-tcp-timeout-close-wait=0',
    );
    const corefile = join(this.directory, 'Corefile');
    const { objects, configuration } = coreDns(NODE_ADDRESS, DNS_SERVICE, this.kubeconfig('coredns'));
    await writeFile(corefile, configuration);
    await this.apply(...objects);
    await this.#startBinary('coredns', `-conf=${corefile}`);
    await this.kubectl('wait', '--for=create', '--timeout=300s', 'serviceaccount/default');
  }

  async #startBinary(name: string, ...args: string[]): Promise<void> {
    await this.#startProgram(name, join(resolve(this.#options.binaries), name), ...args);
  }

  async #startProgram(name: string, ...command: string[]): Promise<void> {
    const program = new Program(name, join(this.directory, 'logs', `${name}.log`), command);
    this.#programs.set(name, program);
    await program.start();
  }

  async #removePods(): Promise<void> {
    const ids = (await this.cli('pods', '--quiet')).split('\n').filter((line) => line !== '');
    if (ids.length > 0) await this.cli('rm', '--force', ...ids);
  }

  async #run(command: string, args: string[]): Promise<{ stdout: string; stderr: string }> {
    const path = `${resolve(this.#options.binaries)}:${process.env['PATH'] ?? ''}`;
    const env = { ...process.env, PATH: path, KUBECONFIG: this.kubeconfig('admin') };
    return promisify(execFile)(command, args, { env, maxBuffer: 2 ** 28 });
  }
}

/** Removes the directory of a node that was stopped. */
export async function removeNodeDirectory(directory: string): Promise<void> {
  await unmountBelow(directory);
  await rm(directory, { recursive: true, force: true });
}
