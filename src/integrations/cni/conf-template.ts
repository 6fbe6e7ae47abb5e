import { readdir } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import { failedPrecondition } from '../../core/model/errors.ts';
import { inspectPath, readText } from '../../host/paths.ts';
import { isErrno, messageOf } from '../../utils/errors.ts';
import type { Logger } from '../../core/model/logger.ts';
import { writeFileAtomic } from '../../utils/fs/atomic.ts';
import { FILE_LIMIT_BYTES } from './cni-config-directory.ts';
import { isRecord, parseCniConfig, parseJson } from './cni-config.ts';

/** The file generated from the template, in the directory of configurations. */
export const templatedFile = '10-proxmox-lxcri.conflist';

/**
 * A network configuration that is written once the kubelet has sent the node's pod CIDRs: a JSON file with whole
 * strings as placeholders (see {@link renderTemplate}).
 */
export class ConfTemplate {
  readonly #options: { template: string; configDir: string; logger: Logger };

  constructor(options: { template: string; configDir: string; logger: Logger }) {
    this.#options = options;
  }

  /**
   * Writes the configuration atomically. Nothing is written when there is another configuration, which takes
   * precedence, or when the file is up to date.
   * @param ranges CIDR, checked. @throws CriError FAILED_PRECONDITION naming the template or its target.
   */
  async apply(ranges: readonly string[]): Promise<void> {
    if (ranges.length === 0) return;
    const { template, configDir, logger } = this.#options;
    const target = join(configDir, templatedFile);
    let text: string;
    try {
      text = renderTemplate(await readText(template, FILE_LIMIT_BYTES), ranges);
    } catch (error) {
      throw failedPrecondition(`network.conf_template: ${template}: ${messageOf(error)}`, error);
    }
    try {
      const names = await readdir((await inspectPath(configDir)).path);
      const foreign = names.find((name) => /\.(conflist|conf|json)$/.test(name) && name !== templatedFile);
      if (foreign !== undefined) {
        logger.info('CNI template not used: another CNI configuration exists', { template, foreign });
        return;
      }
      if ((await readOr(target, '')) === text) return;
      await writeFileAtomic(target, text, 0o644);
      logger.info('CNI configuration written from the template', { file: target, ranges });
    } catch (error) {
      throw failedPrecondition(`network.conf_template: cannot write ${target}: ${messageOf(error)}`, error);
    }
  }
}

/**
 * Fills a template. A string that is exactly `{{PodCIDR}}` becomes the first range, `{{PodCIDRRanges}}` the list that
 * host-local calls "ranges", one set per range, `{{Routes}}` a default route for each family among the ranges.
 * @returns JSON text. @throws Error when the template is not a configuration or has an unknown placeholder.
 */
export function renderTemplate(template: string, ranges: readonly string[]): string {
  const families = new Set(ranges.map((range) => (isIPv6(range.split('/')[0] ?? '') ? '::/0' : '0.0.0.0/0')));
  const values: Record<string, unknown> = {
    '{{PodCIDR}}': ranges[0],
    '{{PodCIDRRanges}}': ranges.map((subnet) => [{ subnet }]),
    '{{Routes}}': [...families].map((dst) => ({ dst })),
  };
  const fill = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(fill);
    if (isRecord(value)) return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, fill(each)]));
    if (typeof value !== 'string' || !value.includes('{{')) return value;
    if (value in values) return values[value];
    throw new Error(`${JSON.stringify(value)} must be one of ${Object.keys(values).join(', ')}`);
  };
  const text = `${JSON.stringify(fill(parseJson(template)), undefined, 2)}\n`;
  if (parseCniConfig(text).plugins.length === 0) throw new Error('"plugins" must be a list of at least one plugin');
  return text;
}

async function readOr(path: string, otherwise: string): Promise<string> {
  try {
    return await readText(path, FILE_LIMIT_BYTES);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return otherwise;
    throw error;
  }
}
