import { readFile } from 'node:fs/promises';
import { run } from '../../host/processes/run.ts';
import { exists } from '../../utils/fs/exists.ts';
import { writeNew } from './file-steps.ts';
import { KERNEL_MODULES, KERNEL_PARAMETERS, modulesLoadConf, sysctlConf } from './kernel-settings.ts';
import type { RecordMade, Step } from './step.ts';

/** The steps for modules and parameters of the kernel, now and at each boot. */
export function kernelSteps(): Step[] {
  return [modulesStep(), parametersStep()];
}

function modulesStep(): Step {
  const file = new BootFile('modules-load.d/proxmox-lxcri.conf', modulesLoadConf());
  return {
    name: 'kernel modules',
    look: async () => {
      const supported = await readFile('/proc/filesystems', 'utf8');
      const absent = KERNEL_MODULES.map(({ name }) => name).filter((name) => !supported.includes(`\t${name}\n`));
      const isThere = await file.isThere();
      if (absent.length === 0 && isThere) return { text: 'are there' };
      return {
        text: [...absent.map((name) => `load ${name}`), ...(isThere ? [] : [`write ${file.path}`])].join(', '),
        make: async (record) => {
          for (const name of absent) await run('modprobe', [name], { timeoutMs: 60_000 });
          if (!isThere) await file.write(record);
        },
      };
    },
  };
}

function parametersStep(): Step {
  const file = new BootFile('sysctl.d/60-proxmox-lxcri.conf', sysctlConf());
  return {
    name: 'kernel parameters',
    look: async () => {
      const low: string[] = [];
      for (const { name, least } of KERNEL_PARAMETERS) {
        if ((await valueOf(name)) < least) low.push(`${name}=${String(least)}`);
      }
      const isThere = await file.isThere();
      if (low.length === 0 && isThere) return { text: 'are there' };
      return {
        text: [...low.map((setting) => `set ${setting}`), ...(isThere ? [] : [`write ${file.path}`])].join(', '),
        make: async (record) => {
          if (low.length > 0) await run('sysctl', ['-q', '-w', ...low], { timeoutMs: 60_000 });
          if (!isThere) await file.write(record);
        },
      };
    },
  };
}

/** A parameter's value by sysctl(8). @throws Error when it has none that is a number. */
async function valueOf(name: string): Promise<number> {
  const { stdout } = await run('sysctl', ['-n', name], { timeoutMs: 60_000 });
  if (!/^\d+\n$/.test(stdout)) throw new Error(`sysctl ${name} printed ${JSON.stringify(stdout.slice(0, 100))}`);
  return Number(stdout);
}

/** A file that is read at each boot: the package's, or one below /etc. */
class BootFile {
  readonly path: string;
  readonly #packaged: string;
  readonly #text: string;

  constructor(name: string, text: string) {
    this.path = `/etc/${name}`;
    this.#packaged = `/usr/lib/${name}`;
    this.#text = text;
  }

  async isThere(): Promise<boolean> {
    return (await exists(this.#packaged)) || (await exists(this.path));
  }

  write(record: RecordMade): Promise<void> {
    return writeNew(this.path, this.#text, 0o644, record);
  }
}
