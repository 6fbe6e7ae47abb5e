import type { Command } from '../command.ts';
import { exitCodeOf } from '../exit-code.ts';
import { DETACH_KEYS_OPTION, SERVER_OPTIONS } from '../options.ts';

export const run: Command = {
  name: 'run',
  summary: 'run a command in a new container and wait for it',
  description:
    'Creates a pod with one container, prints its output, exits with its exit code, and removes the pod. The first ' +
    'SIGINT or SIGTERM stops the container, the second kills it. Without COMMAND it runs the command of the image; ' +
    'COMMAND is appended to the entry point of the image. A kubelet that uses the same server stops pods that it does not ' +
    'know. Other exit codes: 127 when the program does not exist, 126 when it cannot be executed, 124 for ' +
    '--timeout, 125 for other errors.',
  arguments: [
    { name: 'IMAGE', description: 'name or id of the image', kind: 'image' },
    { name: 'COMMAND', description: 'command and arguments', optional: true, variadic: true },
  ],
  passThrough: true,
  options: [
    { name: 'name', value: 'NAME', description: 'name of the pod and the container (default: generated)' },
    {
      name: 'handler',
      value: 'NAME',
      description: 'RuntimeClass handler (default: runtime.default_handler)',
      kind: 'handler',
    },
    { name: 'env', short: 'e', value: 'KEY=VALUE', description: 'environment variable', repeat: true },
    { name: 'env-file', value: 'FILE', description: 'file of KEY=VALUE lines', repeat: true, kind: 'file' },
    {
      name: 'mount',
      short: 'v',
      value: 'SRC:DST[:ro]',
      description: 'bind mount of a file or directory of the host',
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
      description: 'all capabilities and devices; no seccomp, AppArmor and masked paths',
    },
    {
      name: 'security-opt',
      value: 'OPT',
      description:
        'seccomp=unconfined|FILE, apparmor=unconfined|PROFILE, systempaths=unconfined or no-new-privileges ' +
        '(default: as the kubelet)',
      repeat: true,
    },
    {
      name: 'pull',
      value: 'WHEN',
      description: 'when to pull the image (default missing)',
      choices: ['always', 'missing', 'never'],
    },
    { name: 'timeout', value: 'SECONDS', description: 'stop the container after this time, and exit with 124' },
    { name: 'interactive', short: 'i', description: 'forward standard input' },
    { name: 'tty', short: 't', description: 'allocate a terminal' },
    DETACH_KEYS_OPTION,
    { name: 'detach', short: 'd', description: 'print the id of the container and return' },
    { name: 'keep', description: 'keep the pod and the log' },
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
