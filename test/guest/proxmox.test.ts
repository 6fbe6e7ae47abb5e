// One process, server and simulated node for all.
import './proxmox/ends.ts';
import './proxmox/operators.ts';
import './proxmox/node-states.ts';
