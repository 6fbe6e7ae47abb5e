import type { Command } from './command.ts';
import { attach } from './commands/attach.ts';
import { bfc } from './commands/bfc.ts';
import { checkpoint } from './commands/checkpoint.ts';
import { commit } from './commands/commit.ts';
import { completion } from './commands/completion.ts';
import { config } from './commands/config.ts';
import { cp } from './commands/cp.ts';
import { diff } from './commands/diff.ts';
import { doctor } from './commands/doctor.ts';
import { events } from './commands/events.ts';
import { exec } from './commands/exec.ts';
import { exportCommand } from './commands/export.ts';
import { help } from './commands/help.ts';
import { images } from './commands/images.ts';
import { importCommand } from './commands/import.ts';
import { inspect } from './commands/inspect.ts';
import { logs } from './commands/logs.ts';
import { pods } from './commands/pods.ts';
import { portForward } from './commands/port-forward.ts';
import { prune } from './commands/prune.ts';
import { ps } from './commands/ps.ts';
import { pull } from './commands/pull.ts';
import { receive } from './commands/receive.ts';
import { restore } from './commands/restore.ts';
import { rm } from './commands/rm.ts';
import { rmi } from './commands/rmi.ts';
import { run } from './commands/run.ts';
import { send } from './commands/send.ts';
import { serve } from './commands/serve.ts';
import { setup } from './commands/setup.ts';
import { snapshot } from './commands/snapshot.ts';
import { snapshots } from './commands/snapshots.ts';
import { stats } from './commands/stats.ts';
import { stop } from './commands/stop.ts';
import { top } from './commands/top.ts';
import { version } from './commands/version.ts';
import { wipe } from './commands/wipe.ts';

/** The program's name on command lines and before its errors. */
export const PROGRAM = 'proxmox-lxcri';

/** A one-phrase summary of the program. */
export const PROGRAM_SUMMARY = 'Kubernetes container runtime (CRI v1) for LXC and Proxmox VE';

/**
 * The command table, from which parsing, help, completion and docs/cli.md are derived. Modules of commands are small; their
 * `run` imports the rest, so that `version` and `help` start fast.
 */
export const COMMANDS: readonly Command[] = [
  serve,
  run,
  ps,
  pods,
  images,
  pull,
  importCommand,
  exportCommand,
  bfc,
  inspect,
  logs,
  exec,
  attach,
  cp,
  diff,
  commit,
  snapshot,
  snapshots,
  checkpoint,
  restore,
  send,
  receive,
  portForward,
  stats,
  top,
  events,
  stop,
  rm,
  rmi,
  prune,
  config,
  setup,
  doctor,
  wipe,
  version,
  help,
  completion,
];
