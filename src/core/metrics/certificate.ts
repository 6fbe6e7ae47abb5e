import { readFile, stat } from 'node:fs/promises';
import { type SecureContextOptions, createSecureContext } from 'node:tls';

/** Milliseconds between two looks at the files, and so until a renewed certificate is used. */
export const RELOAD_MS = 10_000;

/** Paths of PEM files. */
export interface CertificateFiles {
  certificate: string;
  key: string;
}

/** Reads a certificate chain and its key. @throws Error naming the file, or what does not match. */
export async function readPair({ certificate, key }: CertificateFiles): Promise<SecureContextOptions> {
  const pair = { cert: await readFile(certificate), key: await readFile(key), minVersion: 'TLSv1.2' as const };
  try {
    createSecureContext(pair);
  } catch (cause) {
    throw new Error(`${certificate} and ${key} are not a certificate chain and its key, in PEM`, { cause });
  }
  return pair;
}

/**
 * Calls `changed` with the pair whenever one of the files is another one than before, and `failed` when it cannot be used; the
 * former pair then stays. @returns a function that ends it.
 */
export function watchPair(
  files: CertificateFiles,
  use: { changed: (pair: SecureContextOptions) => void; failed: (error: unknown) => void },
  intervalMs = RELOAD_MS,
): () => void {
  let seen: string | undefined;
  const look = async () => {
    const now = JSON.stringify(await Promise.all([versionOf(files.certificate), versionOf(files.key)]));
    const before = seen;
    seen = now;
    if (before === undefined || before === now) return;
    try {
      use.changed(await readPair(files));
    } catch (error) {
      use.failed(error);
    }
  };
  void look();
  const timer = setInterval(() => void look(), intervalMs).unref();
  return () => {
    clearInterval(timer);
  };
}

/** Through links: a mounted secret is replaced by another target of a link. */
async function versionOf(path: string): Promise<unknown> {
  const { ino, mtimeMs, size } = await stat(path).catch(() => ({ ino: 0, mtimeMs: 0, size: -1 }));
  return [ino, mtimeMs, size];
}
