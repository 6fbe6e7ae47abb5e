import test from 'ava';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ListPodSandboxRequest, RuntimeServiceService } from '../../api/gen/cri.ts';
import { CriError } from '../../src/core/model/errors.ts';
import { bridgeChain, victims } from './chaos-victims.ts';
import type { Kind, Victim } from './chaos-victims.ts';
import { importImage } from './image-fixture.ts';
import { HANG_MS, eventually } from '../lib/eventually.ts';
import { PROPERTY_SEED } from '../lib/property-seed.ts';
import { random } from './kills-random.ts';
import { contradictions, leaseholders } from './kills-reality.ts';
import { PodLife, VOLUME_IMAGE } from './kills-worker.ts';
import type { PatientClient } from './kills-worker.ts';
import { inventory, leftovers } from './leaks.ts';
import { ServerFixture } from './server-fixture.ts';

/**
 * More kills, at other moments: KILLS=100 KILLS_PODS=100 PROPERTY_SEED=1. Other victims than the server:
 * KILLS_OF=server,conmon,monitor,pause,crun,cni.
 */
const kills = Number(process.env['KILLS'] ?? 4);
const pods = Number(process.env['KILLS_PODS'] ?? 10);
const kinds = (process.env['KILLS_OF'] ?? 'server').split(',') as ('server' | Kind)[];
const WORKERS = 8;
/** Milliseconds between the server's first answer and the next kill. */
const LONGEST_LIFE_MS = 2500;
/** What a server logs when it postpones something. */
const FAILURES = /"level":"error"|"level":"warn","msg":"[A-Z][a-z]+ [a-z][^"]* failed/;

test.serial(
  `${String(WORKERS)} workers, ${String(pods)} pods, ${String(kills)} server kills: no leftovers`,
  async (t) => {
    t.timeout((kills + pods) * 150_000);
    t.log(`seed ${String(PROPERTY_SEED)}`);
    const server = await ServerFixture.make(t);
    const files = { '/data/there': 'x' };
    await importImage(server, VOLUME_IMAGE, files, { config: { Volumes: { '/data': {}, '/more': {} } } });
    await mkdir(join(server.directory, 'root', 'volumes', 'removed'), { recursive: true, mode: 0o700 });
    await server.warm();
    const before = await inventory(server);
    const moment = random(PROPERTY_SEED);
    /** Names of the pods whose own processes were killed. */
    const struck = new Set<string>();
    /** Leftovers of killed plugins. */
    const chains = new Set<string>();
    const killedOf = new Map<string, number>();
    let killed = 0;
    let starts = 0;
    let life = 0;
    let over = false;
    let gate = Promise.withResolvers<undefined>();
    gate.resolve(undefined);
    const client: PatientClient = {
      call: async (method, request) => {
        for (;;) {
          await gate.promise;
          if (over) throw new Error('given up');
          const begun = life;
          try {
            return await server.client.call(method, request, { timeoutMs: HANG_MS });
          } catch (error) {
            if (begun === life) throw error;
          }
        }
      },
    };

    let next = 0;
    const worker = async () => {
      while (next < pods || killed < kills) {
        const number = next++;
        const name = `k${String(number)}`;
        try {
          await new PodLife(server, client, number, random(PROPERTY_SEED + 1 + number)).lead();
        } catch (error) {
          // For a pod whose own processes were killed, only leftovers count.
          if (!struck.has(name) || over) throw error;
          await removed(client, name);
        }
        await rm(join(server.directory, 'logs', `k${String(number)}`), { recursive: true, force: true });
      }
    };
    const killer = async () => {
      for (; killed < kills && !over; killed += 1) {
        await sleep(moment() * LONGEST_LIFE_MS);
        const kind = kinds[Math.floor(moment() * kinds.length)] ?? 'server';
        killedOf.set(kind, (killedOf.get(kind) ?? 0) + 1);
        if (kind !== 'server') {
          const { podId } = await strike(server, { kind, struck, moment, over: () => over });
          if (kind === 'cni') chains.add(bridgeChain(`net-${server.bridge}`, podId));
          continue;
        }
        gate = Promise.withResolvers<undefined>();
        life += 1;
        await server.end('SIGKILL');
        await sleep(moment() * 300);
        // Some starts are interrupted, too, during cleanup.
        for (; moment() < 0.25; starts += 1) {
          const cut = server.start().catch(() => undefined);
          await sleep(moment() * 1000);
          await server.end('SIGKILL');
          await cut;
          // On a slow machine it may have started only after that.
          await server.end('SIGKILL');
        }
        await server.start();
        await consistent(server, killed, struck);
        gate.resolve(undefined);
      }
    };
    const failures: unknown[] = [];
    const watched = async (task: () => Promise<void>) => {
      try {
        await task();
      } catch (error) {
        // Later errors of the others follow from it.
        if (!over) failures.push(error);
        over = true;
        gate.resolve(undefined);
      }
    };
    await Promise.all([watched(killer), ...Array.from({ length: WORKERS }, () => watched(worker))]);
    if (failures.length > 0) throw failures[0];
    t.log(`${String(next)} pods, ${String(killed)} kills, ${String(starts)} more while it started`);
    if (kinds.length > 1) t.log([...killedOf].map(([kind, count]) => `${kind} ${String(count)}`).join(', '));
    t.deepEqual([...(await leaseholders(server))], []);
    const excused = (line: string) => line.includes(' rule ') && [...chains].some((chain) => line.includes(chain));
    t.deepEqual(await leftovers(server, before, excused), []);
    // A killed program justifies an error.
    if (kinds.length > 1) return;
    const complaints = (await server.log()).split('\n').filter((line) => FAILURES.test(line));
    t.deepEqual(complaints, []);
  },
);

/** A container may end during the check: only a lasting contradiction counts. */
async function consistent(server: ServerFixture, kill: number, struck: ReadonlySet<string>): Promise<void> {
  let found: string[] = [];
  try {
    await eventually('agreement', async () => (found = await contradictions(server, struck)).length === 0);
  } catch (error) {
    throw new Error(`after kill ${String(kill)}: ${found.join('; ')}`, { cause: error });
  }
}

/** Kills a process of this kind, of any pod, as soon as there is one. */
async function strike(
  server: ServerFixture,
  how: { kind: Kind; struck: Set<string>; moment: () => number; over: () => boolean },
): Promise<Victim> {
  const { kind, struck, moment, over } = how;
  return eventually(`a process to kill, ${kind}`, async () => {
    if (over()) throw new Error('given up');
    const found = await victims(server, kind);
    const victim = found[Math.floor(moment() * found.length)];
    if (victim === undefined) return undefined;
    struck.add(victim.pod);
    try {
      process.kill(victim.pid, 'SIGKILL');
      return victim;
    } catch {
      return undefined; // It has ended by itself.
    }
  });
}

/** Removes the pods of a name with retries, as the kubelet does. */
async function removed(client: PatientClient, name: string): Promise<void> {
  const { listPodSandbox, removePodSandbox } = RuntimeServiceService;
  await eventually(`the removal of ${name}`, async () => {
    const { items } = await client.call(listPodSandbox, ListPodSandboxRequest.create());
    const left = items.filter(({ metadata }) => metadata?.name === name);
    for (const { id } of left) {
      await client.call(removePodSandbox, { podSandboxId: id }).catch((error: unknown) => {
        if (!(error instanceof CriError)) throw error;
      });
    }
    return left.length === 0;
  });
}
