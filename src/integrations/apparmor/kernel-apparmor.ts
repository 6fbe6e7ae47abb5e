import { readFile } from 'node:fs/promises';
import type { AppArmor } from '../../core/model/apparmor.ts';
import { unavailable } from '../../core/model/errors.ts';
import { isErrno, messageOf } from '../../utils/errors.ts';
import type { Logger } from '../../core/model/logger.ts';
import { CommandError, run } from '../../host/processes/run.ts';
import { defaultProfile, defaultProfileName } from './default-profile.ts';

export interface KernelAppArmorOptions {
  logger: Logger;
  /** Contains Y when AppArmor is enabled; by default the kernel's own file. */
  switchFile?: string;
  /** Lists the loaded profiles, `NAME (MODE)` a line; by default securityfs's. */
  profilesFile?: string;
  /** Loads profiles, by default `apparmor_parser` on PATH. */
  parser?: string;
}

/** AppArmor, read from sysfs and securityfs. */
export class KernelAppArmor implements AppArmor {
  readonly #switchFile: string;
  readonly #profilesFile: string;
  readonly #parser: string;
  readonly #logger: Logger;
  #loading: Promise<string | undefined> | undefined;

  constructor(options: KernelAppArmorOptions) {
    this.#logger = options.logger;
    this.#switchFile = options.switchFile ?? '/sys/module/apparmor/parameters/enabled';
    this.#profilesFile = options.profilesFile ?? '/sys/kernel/security/apparmor/profiles';
    this.#parser = options.parser ?? 'apparmor_parser';
  }

  async enabled(): Promise<boolean> {
    try {
      return (await readFile(this.#switchFile, 'utf8')).startsWith('Y');
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return false;
      throw error;
    }
  }

  /** Loaded once by each server, so that a newer version's rules replace an older one's. */
  defaultProfile(): Promise<string | undefined> {
    return (this.#loading ??= this.#load().catch((error: unknown) => {
      this.#loading = undefined;
      throw error;
    }));
  }

  async #load(): Promise<string | undefined> {
    try {
      await run(this.#parser, ['--replace', '--skip-cache'], { input: defaultProfile, timeoutMs: 60_000 });
      return defaultProfileName;
    } catch (error) {
      if (error instanceof CommandError && isErrno(error.cause, 'ENOENT')) {
        this.#logger.warn(
          'AppArmor profile not loaded; containers run without one; install the Debian package apparmor',
        );
        return undefined;
      }
      throw unavailable(`cannot load the AppArmor profile ${defaultProfileName}: ${messageOf(error)}`, error);
    }
  }

  async isLoaded(profile: string): Promise<boolean> {
    let profiles: string;
    try {
      profiles = await readFile(this.#profilesFile, 'utf8');
    } catch (error) {
      const remedy = 'is securityfs mounted at /sys/kernel/security?';
      throw unavailable(`cannot read the loaded AppArmor profiles: ${messageOf(error)}; ${remedy}`, error);
    }
    // The name itself may contain blanks.
    return profiles.split('\n').some((line) => /^(.+) \([a-z]+\)$/.exec(line)?.[1] === profile);
  }
}
