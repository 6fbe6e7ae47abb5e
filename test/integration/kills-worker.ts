import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import {
  ContainerState,
  CreateContainerRequest,
  ExecSyncRequest,
  NamespaceMode,
  PodSandboxState,
  RunPodSandboxRequest,
  RuntimeServiceService,
} from '../../api/gen/cri.ts';
import type { ContainerConfig, ContainerStatus, NamespaceOption } from '../../api/gen/cri.ts';
import type { Method } from '../../src/cli/client/server.ts';
import { CriError, StatusCode } from '../../src/core/model/errors.ts';
import { eventually } from '../lib/eventually.ts';
import { IMAGE } from './server-fixture.ts';
import type { ServerFixture } from './server-fixture.ts';

/** Calls to a server that is killed now and then: an interrupted call is repeated, as the kubelet does. */
export interface PatientClient {
  call<Request, Response>(method: Method<Request, Response>, request: Request): Promise<Response>;
}

/** An image that declares directories; the test imports it. */
export const VOLUME_IMAGE = 'localhost/volume:1';

interface Live {
  id: string;
  name: string;
  startedAt: bigint;
}

const { containerStatus, createContainer, execSync, podSandboxStatus, removeContainer, removePodSandbox } =
  RuntimeServiceService;
const { runPodSandbox, startContainer, stopContainer, stopPodSandbox } = RuntimeServiceService;

/**
 * Takes one pod with writing containers through one of several lifecycles, and compares what the server reports with
 * what the containers did. @throws Error for a contradiction.
 */
export class PodLife {
  readonly #server: ServerFixture;
  readonly #client: PatientClient;
  readonly #name: string;
  readonly #number: number;
  readonly #random: () => number;
  #namespaces: Parameters<typeof NamespaceOption.create>[0] = { pid: NamespaceMode.CONTAINER };
  #image = IMAGE;

  constructor(server: ServerFixture, client: PatientClient, number: number, random: () => number) {
    this.#server = server;
    this.#client = client;
    this.#number = number;
    this.#name = `k${String(number)}`;
    this.#random = random;
  }

  async lead(): Promise<void> {
    const handler = this.#random() < 0.5 ? 'lxc' : 'crun';
    const way = Math.floor(this.#random() * 6);
    const hostPort = this.#random() < 0.25 ? [{ containerPort: 80, hostPort: 22_000 + this.#number }] : [];
    const kind = this.#random();
    if (kind < 0.3) this.#namespaces = { pid: NamespaceMode.POD };
    else if (kind < 0.5) this.#namespaces = { ...this.#namespaces, usernsOptions: this.#userNamespace() };
    if (this.#random() < 0.3) this.#image = VOLUME_IMAGE;
    const config = this.#server.podConfig(this.#name, { portMappings: hostPort, ...this.#security() });
    const request = RunPodSandboxRequest.create({ config, runtimeHandler: handler });
    const { podSandboxId } = await this.#client.call(runPodSandbox, request);
    const { status } = await this.#client.call(podSandboxStatus, { podSandboxId, verbose: false });
    this.#expect('state of the pod', status?.state, PodSandboxState.SANDBOX_READY);
    if (way === 0) return this.#remove(podSandboxId);

    const lines = 50 + Math.floor(this.#random() * 200);
    const code = 1 + Math.floor(this.#random() * 100);
    const brief = await this.#start(podSandboxId, 'brief', `${count(lines)}; exit ${String(code)}`);
    const long = await this.#start(podSandboxId, 'long', `trap 'echo bye; exit 42' TERM; ${count(1_000_000)}`);
    if (way === 1) await this.#create(podSandboxId, 'waiting', 'exit 1');
    const said = await this.#client.call(
      execSync,
      ExecSyncRequest.create({ containerId: long.id, cmd: ['echo', this.#name], timeout: 300n }),
    );
    this.#expect('output of exec', said.stdout.toString(), `${this.#name}\n`);
    // Its trap is set then.
    await eventually(`a line of ${this.#name}/long`, async () => / 1$/m.test(await readFile(this.#log(long), 'utf8')));

    const ended = await this.#ended(brief);
    this.#expect('exit code', [ended.exitCode, ended.reason], [code, 'Error']);
    this.#expect('lines', (await this.#lines(brief, ended)).length, lines);
    if (way === 2) await this.#client.call(removeContainer, { containerId: brief.id });

    if (way === 3) {
      await this.#running(long);
      await this.#client.call(removeContainer, { containerId: long.id });
      await this.#lines(long);
      return this.#remove(podSandboxId);
    }
    if (way === 4) {
      await this.#running(long);
      await this.#client.call(stopPodSandbox, { podSandboxId });
      const killed = await this.#status(long);
      this.#expect('end of a container of a stopped pod', [killed.state, killed.exitCode], [exited, 137]);
      await this.#lines(long, killed);
      return this.#remove(podSandboxId);
    }
    await this.#running(long);
    await this.#client.call(stopContainer, { containerId: long.id, timeout: 300n });
    const stopped = await this.#status(long);
    this.#expect('end of a stopped container', [stopped.state, stopped.exitCode], [exited, 42]);
    await this.#lines(long, stopped);
    await this.#remove(podSandboxId);
  }

  #security() {
    return { linux: { securityContext: { namespaceOptions: this.#namespaces } } };
  }

  #userNamespace() {
    const ids = [{ containerId: 0, hostId: 65_536 * (2 + (this.#number % 100)), length: 65_536 }];
    return { mode: NamespaceMode.POD, uids: ids, gids: ids };
  }

  async #remove(podSandboxId: string): Promise<void> {
    if (this.#random() < 0.5) await this.#client.call(stopPodSandbox, { podSandboxId });
    await this.#client.call(removePodSandbox, { podSandboxId });
  }

  async #create(podSandboxId: string, name: string, script: string): Promise<string> {
    const config: Parameters<typeof ContainerConfig.create>[0] = {
      metadata: { name, attempt: 0 },
      image: { image: this.#image },
      logPath: `${name}.log`,
      command: ['sh', '-c', `echo begin; ${script}`],
      envs: [{ key: 'POD', value: Buffer.from(this.#name) }],
      ...this.#security(),
    };
    const request = CreateContainerRequest.create({ podSandboxId, config });
    return (await this.#client.call(createContainer, request)).containerId;
  }

  async #start(podSandboxId: string, name: string, script: string): Promise<Live> {
    const id = await this.#create(podSandboxId, name, script);
    for (;;) {
      try {
        await this.#client.call(startContainer, { containerId: id });
        break;
      } catch (error) {
        // Started by an interrupted call.
        if (!(error instanceof CriError) || error.code !== StatusCode.FAILED_PRECONDITION) throw error;
        const { status } = await this.#client.call(containerStatus, { containerId: id, verbose: false });
        if (status?.state === ContainerState.CONTAINER_CREATED) throw error;
        break;
      }
    }
    const { startedAt, createdAt } = await this.#status({ id, name, startedAt: 0n });
    if (createdAt === 0n || startedAt < createdAt)
      throw new Error(`${this.#name}/${name}: was started before it was made`);
    return { id, name, startedAt };
  }

  async #status(container: Live): Promise<ContainerStatus> {
    const { status } = await this.#client.call(containerStatus, { containerId: container.id, verbose: false });
    if (status === undefined) throw new Error(`${this.#name}/${container.name}: no status`);
    if (container.startedAt !== 0n) this.#expect('time of the start', status.startedAt, container.startedAt);
    return status;
  }

  #log({ name }: Live): string {
    return join(this.#server.directory, 'logs', this.#name, `${name}.log`);
  }

  async #running(container: Live): Promise<void> {
    this.#expect(`state of ${container.name}`, (await this.#status(container)).state, ContainerState.CONTAINER_RUNNING);
  }

  async #ended(container: Live): Promise<ContainerStatus> {
    return eventually(`the end of ${this.#name}/${container.name}`, async () => {
      const status = await this.#status(container);
      return status.state === exited && status;
    });
  }

  /** The numbers a container has logged: it started once, none is missing or duplicated, and its times are true. */
  async #lines(container: Live, ended?: ContainerStatus): Promise<number[]> {
    const lines = (await readFile(this.#log(container), 'utf8')).trimEnd().split('\n');
    const texts = lines.map((line) => /^\S+ stdout F (.*)$/.exec(line)?.[1] ?? `broken line ${line}`);
    const numbers = texts.filter((text) => text !== 'begin' && text !== 'bye').map(Number);
    const wrong = numbers.findIndex((number, index) => number !== index + 1);
    if (texts[0] !== 'begin' || texts.lastIndexOf('begin') !== 0 || wrong >= 0) {
      const there = texts.slice(Math.max(0, wrong - 1), wrong + 2).join(', ');
      throw new Error(`${this.#name}/${container.name}: log is wrong after ${String(wrong)} lines: ${there}`);
    }
    if (ended !== undefined) {
      const last = Date.parse(lines.at(-1)?.split(' ', 1)[0] ?? '');
      const distance = Number(ended.finishedAt / 1_000_000n) - last;
      if (!(distance >= -50))
        throw new Error(`${this.#name}/${container.name}: ended ${String(-distance)} ms before its last line`);
      // conmon writes it within milliseconds after the end.
      const { mtimeNs } = await stat(join(this.#server.directory, 'state/runner/exits', container.id), {
        bigint: true,
      });
      this.#expect('time of the end', ended.finishedAt, mtimeNs);
    }
    return numbers;
  }

  #expect(what: string, actual: unknown, expected: unknown): void {
    if (isDeepStrictEqual(actual, expected)) return;
    const [is, should] = [actual, expected].map((value) =>
      JSON.stringify(value, (_, part: unknown) => (typeof part === 'bigint' ? String(part) : part)),
    );
    throw new Error(`${this.#name}: ${what}: is ${String(is)}, should be ${String(should)}`);
  }
}

const exited = ContainerState.CONTAINER_EXITED;

function count(lines: number): string {
  return `i=0; while [ $i -lt ${String(lines)} ]; do i=$((i+1)); echo $i; usleep 5000; done`;
}
