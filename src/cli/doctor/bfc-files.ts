import { stat } from 'node:fs/promises';
import type { Config } from '../../core/config/schema.ts';
import { type Finding, ok, warning } from '../../core/model/finding.ts';
import { messageOf } from '../../utils/errors.ts';

/** Bytes of a key. */
const KEY_BYTES = 32;

/** The directory of BFC files, and what opens them. */
export async function checkBfcFiles({ bfc }: Config): Promise<Finding[]> {
  return Promise.all([
    ...(bfc.directory === '' ? [] : [checkDirectory(bfc.directory)]),
    ...bfc.key_files.map((path) => checkSecret('bfc.key_files', path, KEY_BYTES)),
    ...bfc.password_files.map((path) => checkSecret('bfc.password_files', path, 1)),
  ]);
}

async function checkDirectory(path: string): Promise<Finding> {
  const subject = 'bfc.directory';
  try {
    const found = await stat(path);
    if (!found.isDirectory()) return warning(subject, `${path} is not a directory`, 'name one in the configuration');
    if ((found.mode & 0o022) === 0) return ok(subject, path);
    const problem = `others than its owner may write to ${path}, and so provide any image`;
    return { ...warning(subject, problem, 'run:'), commands: [`chmod go-w ${path}`] };
  } catch (error) {
    return { ...warning(subject, messageOf(error), 'create it:'), commands: [`install -d -m 0700 ${path}`] };
  }
}

/** @param bytes that the file has at least. */
async function checkSecret(subject: string, path: string, bytes: number): Promise<Finding> {
  try {
    const { size, mode } = await stat(path);
    if (size < bytes) {
      return warning(subject, `${path} has ${size} bytes; at least ${bytes} are needed`, 'write the secret there');
    }
    if ((mode & 0o077) === 0) return ok(subject, path);
    return { ...warning(subject, `others than its owner may use ${path}`, 'run:'), commands: [`chmod 600 ${path}`] };
  } catch (error) {
    return warning(
      subject,
      messageOf(error),
      'write the secret there, mode 0600: no BFC file can be read without the file',
    );
  }
}
