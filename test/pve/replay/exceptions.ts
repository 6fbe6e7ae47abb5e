import type { Exchange } from './transcript.ts';

/** Exchanges that are not replayed, by file: which, and why. */
const excepted: Readonly<Record<string, readonly (readonly [RegExp, string])[]>> = {
  'create-duplicate.txt': [[/^POST .*vmid=411 \.\.\. \(concurrent\)$/, 'the request is not recorded whole']],
  'lxc-list.txt': [[/./, "the recording node's fault: its command socket"]],
  'lxc-status-run.txt': [[/./, "the recording node's fault: its command socket"]],
  'pending-running.txt': [
    [/ (?:mp0=btr:0,mp=\/d|dev0=\/dev\/fuse)$/, "the recording node's fault: hot-plugging without AppArmor"],
  ],
  'pools2.txt': [[/^FILE \/etc\/pve\/user\.cfg/, 'a file that no API reads; the simulated node keeps users elsewhere']],
  'running.txt': [[/ mp1=\/tmp,mp=\/t$/, "the recording node's fault: hot-plugging without AppArmor"]],
  'storage-config.txt': [
    [/^FILE \/etc\/pve\/storage\.cfg/, 'a file that no API reads; the simulated node keeps storages elsewhere'],
  ],
  'upload.txt': [[/^POST .*upload -d content=vztmpl -d filename=x\.tar\.gz$/, 'no answer is recorded']],
};

/** Why an exchange is not replayed; undefined when it is. */
export function exceptionOf({ file, request }: Exchange): string | undefined {
  if (request === '') return 'the request is not recorded';
  return excepted[file]?.find(([which]) => which.test(request))?.[1];
}
