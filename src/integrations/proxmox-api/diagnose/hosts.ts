import { type Finding, missing, ok, warning } from '../../../core/model/finding.ts';
import { messageOf } from '../../../utils/errors.ts';
import { isKind } from '../errors/proxmox-error.ts';
import { isSupported, type Version } from '../version.ts';

/** What asking one host gave. */
export interface HostResult {
  host: string;
  version?: Version;
  error?: unknown;
}

/** A failed connection: which one, whether the certificate is the reason, and what to do. */
interface Remedy {
  pattern: RegExp;
  isTrust?: true;
  remedy: string;
}

const REMEDIES: readonly Remedy[] = [
  {
    pattern: /which is not trusted/,
    isTrust: true,
    remedy:
      'run `pvenode cert info` on the host: if it shows this fingerprint, add it to proxmox.fingerprints; if not, something else answers',
  },
  {
    pattern: /ERR_TLS_CERT_ALTNAME_INVALID|does not match certificate/,
    isTrust: true,
    remedy:
      'write the host in proxmox.hosts as its certificate names it, or leave proxmox.ca_file out and set proxmox.fingerprints',
  },
  {
    pattern: /CERT_HAS_EXPIRED|certificate has expired/,
    isTrust: true,
    remedy: 'renew the certificate on the host: `pvecm updatecerts --force && systemctl restart pveproxy`',
  },
  {
    pattern: /SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET_ISSUER)|self-signed|unable to (?:verify|get)|signature failure/i,
    isTrust: true,
    remedy:
      "set proxmox.ca_file to a copy of the cluster's /etc/pve/pve-root-ca.pem (with a certificate of another authority: to that), or set proxmox.fingerprints",
  },
  {
    pattern: /wrong version number|EPROTO|packet length/i,
    remedy: 'name the port of the API in proxmox.hosts, usually 8006',
  },
  {
    pattern: /ENOTFOUND|EAI_AGAIN/,
    remedy: 'correct the name in proxmox.hosts, or the name resolution of this machine',
  },
  {
    pattern: /ECONNREFUSED/,
    remedy: 'start the API on the host: `systemctl start pveproxy`; or correct the port in proxmox.hosts',
  },
];
const OTHERWISE = 'let this machine reach the port of the API on the host, usually 8006';

/** The hosts, each reached or not, with the version it has. A host that does not answer is a warning beside one that does. */
export function hostFindings(results: readonly HostResult[]): Finding[] {
  const someAnswer = results.some(({ version }) => version !== undefined);
  return results.map(({ host, version, error }) => {
    const subject = `Proxmox host ${host}`;
    if (version !== undefined) {
      if (isSupported(version)) return ok(subject, `Proxmox VE ${version.text}`);
      return unsupported(subject, version);
    }
    if (isKind(error, 'unauthenticated')) return ok(subject, 'answers; its version is told to valid tokens only');
    const found = isKind(error, 'unreachable', 'timeout') ? wordsOf(error).replace(/^\S+:\d+: /, '') : wordsOf(error);
    if (isKind(error, 'badAnswer', 'notFound', 'notImplemented'))
      return missing(subject, found, 'name a host of Proxmox VE in proxmox.hosts, and its port unless that is 8006');
    const known = REMEDIES.find(({ pattern }) => pattern.test(found));
    const make = someAnswer && known?.isTrust !== true ? warning : missing;
    return make(subject, found, known?.remedy ?? OTHERWISE);
  });
}

/** The finding about a host or node whose version this client is not for. */
export function unsupported(subject: string, { text }: Version): Finding {
  return missing(subject, `Proxmox VE ${text} is not supported`, 'upgrade it to Proxmox VE 8.4 or 9');
}

/** An error's message without the call that failed. */
export function wordsOf(error: unknown): string {
  return messageOf(error).replace(/^Proxmox API: [A-Z]+ \S+: /, '');
}
