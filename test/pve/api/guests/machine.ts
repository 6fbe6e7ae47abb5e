import { qemu } from '../../config/kind.ts';
import { agentCommand, monitorCommand, sendKey } from '../../guests/machine.ts';
import type { Method, Permission } from '../method.ts';
import { flag, required, text } from '../params/property.ts';
import { guestOf, guestPath, onGuest, requireRootFor } from './common.ts';

/** Commands of the agent in the guest: whether it is there, what it can, and the guest's networks. */
const AGENT = {
  ping: 'POST',
  info: 'GET',
  'network-get-interfaces': 'GET',
} as const;

/** The same method with the permission of each release. */
function ofBoth(method: Omit<Method, 'permission' | 'only'>, eight: Permission, nine: Permission): Method[] {
  return [
    { ...method, permission: eight, only: '8' },
    { ...method, permission: nine, only: '9' },
  ];
}

/** What only virtual machines have: keys, the monitor, the agent in the guest. */
export const machineMethods: readonly Method[] = [
  {
    verb: 'PUT',
    path: guestPath(qemu, '/sendkey'),
    permission: onGuest('VM.Console'),
    protected: true,
    parameters: { key: required(text()), skiplock: flag },
    handle: (call) => {
      requireRootFor(call, 'skiplock');
      return sendKey(call, guestOf(call, qemu));
    },
  },
  ...ofBoth(
    {
      verb: 'POST',
      path: guestPath(qemu, '/monitor'),
      protected: true,
      parameters: { command: required(text()) },
      handle: (call) => monitorCommand(call, guestOf(call, qemu)),
    },
    onGuest('VM.Monitor'),
    onGuest('Sys.Audit', 'Sys.Modify'),
  ),
  ...Object.entries(AGENT).flatMap(([command, verb]) =>
    ofBoth(
      {
        verb,
        path: guestPath(qemu, `/agent/${command}`),
        protected: true,
        handle: (call) => agentCommand(call, guestOf(call, qemu), command),
      },
      onGuest('VM.Monitor'),
      onGuest('VM.GuestAgent.Audit', 'VM.GuestAgent.Unrestricted'),
    ),
  ),
];
