// One guest for all: the tests run in this order, the last one unloads the kernel module.
import './zfs/client.ts';
import './zfs/store.ts';
import './zfs/trees.ts';
import './zfs/guests.ts';
import './zfs/zvols.ts';
import './zfs/transfer.ts';
import './zfs/states.ts';
import './zfs/snapshots.ts';
import './zfs/server.ts';
import './zfs/choice.ts';
import './zfs/container.ts';
