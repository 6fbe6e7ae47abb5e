import type { Command } from '../command.ts';
import { exitCodeOf } from '../exit-code.ts';
import { DETACH_KEYS_OPTION, SERVER_OPTIONS } from '../options.ts';

export const run: Command = {
  name: 'run',
  summary: 'run a command in a new container and wait for it',
  description:
    'Makes a pod with one container, passes its output on, exits with its exit code, and removes the pod. The first ' +
    'SIGINT or SIGTERM asks the container to stop, the second kills it. Without COMMAND it runs what the image says; ' +
    'with it, after the entry point of the image. Where a kubelet uses the same server, it ends pods that it does not ' +
    'know. Exit codes of its own: 127 when there is no such program, 126 when it cannot be executed, 124 for ' +
    '--timeout, 125 when anything else failed.',
  arguments: [
    { name: 'IMAGE', description: 'name or id of the image', kind: 'image' },
    { name: 'COMMAND', description: 'what to run', optional: true, variadic: true },
  ],
  passThrough: true,
  options: [
    { name: 'name', value: 'NAME', description: 'name of the pod and the container (default: made up)' },
    {
      name: 'handler',
      value: 'NAME',
      description: 'RuntimeClass handler (default: the configured one)',
      kind: 'handler',
    },
    { name: 'env', short: 'e', value: 'KEY=VALUE', description: 'environment variable', repeat: true },
    { name: 'env-file', value: 'FILE', description: 'file of KEY=VALUE lines', repeat: true, kind: 'file' },
    {
      name: 'mount',
      short: 'v',
      value: 'SRC:DST[:ro]',
      description: 'file or folder of the host',
      repeat: true,
      kind: 'file',
    },
    { name: 'workdir', short: 'w', value: 'PATH', description: 'working directory in the container' },
    { name: 'memory', value: 'SIZE', description: 'memory limit, such as 512M' },
    { name: 'cpus', value: 'NUMBER', description: 'CPU limit, such as 0.5' },
    { name: 'hostname', value: 'NAME', description: "the pod's host name (default: its name)" },
    { name: 'host-network', description: "use the host's network" },
    { name: 'label', value: 'KEY=VALUE', description: 'label of the pod and the container', repeat: true },
    {
      name: 'privileged',
      description: 'without seccomp, AppArmor and masked paths, with all capabilities and devices',
    },
    {
      name: 'security-opt',
      value: 'OPT',
      description:
        'seccomp=unconfined|FILE, apparmor=unconfined|PROFILE, systempaths=unconfined or no-new-privileges ' +
        '(default: what the kubelet asks for)',
      repeat: true,
    },
    {
      name: 'pull',
      value: 'WHEN',
      description: 'when to pull the image (default missing)',
      choices: ['always', 'missing', 'never'],
    },
    { name: 'timeout', value: 'SECONDS', description: 'stop the container then, and exit with 124' },
    { name: 'interactive', short: 'i', description: 'pass standard input on' },
    { name: 'tty', short: 't', description: 'give it a terminal' },
    DETACH_KEYS_OPTION,
    { name: 'detach', short: 'd', description: 'print the id of the container and leave it running' },
    { name: 'keep', description: 'do not remove the pod and the log in the end' },
    ...SERVER_OPTIONS,
  ],
  examples: [
    'run -it docker.io/library/busybox:latest sh',
    'run docker.io/library/busybox:latest -- echo hello',
    'run -e WHO=world -v /srv/data:/data:ro --memory 256M debian:12 -- sh -c \'ls /data; echo "$WHO"\'',
  ],
  exitCodeOf,
  async run(context, input) {
    const [{ connectServer }, { runForeground }] = await Promise.all([
      import('../client/connect.ts'),
      import('../run/foreground.ts'),
    ]);
    using server = await connectServer(context, input);
    return await runForeground(context, server, input);
  },
};
