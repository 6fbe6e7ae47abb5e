import { execFile } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';

/**
 * Writes a program of the test, after shellcheck has accepted it.
 * @param body POSIX shell without its first line.
 * @throws Error with shellcheck's output, also when shellcheck, which test/run installs, is missing.
 */
export async function writeScript(path: string, body: string, mode = 0o755): Promise<void> {
  const text = `#!/bin/sh\n${body.trimEnd()}\n`;
  await new Promise<void>((resolve, reject) => {
    const check = execFile('shellcheck', ['--format=gcc', '--', '-'], (error, stdout) => {
      if (error === null) resolve();
      else reject(new Error(`${path}: ${stdout || error.message}`));
    });
    check.stdin?.end(text);
  });
  await writeFile(path, text, { mode });
  // Whatever the umask.
  await chmod(path, mode);
}
