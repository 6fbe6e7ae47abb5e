/** The profile of containers that request none, or RuntimeDefault. */
export const defaultProfileName = 'proxmox-lxcri-default';

/**
 * The default profile (apparmor.d(5)): restrictions that namespaces do not impose on root inside. A container may use
 * its files, network and capabilities freely, but mount nothing, write no parameter of the node and no file of the
 * kernel, and inspect or signal only processes that are confined by the same profile. Deny rules override others.
 */
export const defaultProfile = `abi <abi/3.0>,
include <tunables/global>

profile ${defaultProfileName} flags=(attach_disconnected,mediate_deleted) {
  include <abstractions/base>

  file,
  network,
  capability,
  unix,
  # Whoever can connect to the monitor of an LXC container of the node controls it.
  deny unix peer=(addr="@/var/lib/lxc/**"),
  umount,
  deny mount,

  # Who stops and starts containers is not confined, or has a profile that allows everything; containers have this one.
  signal (receive) peer={unconfined,conmon,crun,runc},
  signal (send, receive) peer=${defaultProfileName},
  ptrace (trace, read, tracedby, readby) peer=${defaultProfileName},

  # Memory, keys and emergency functions of the whole node.
  deny @{PROC}/{kcore,kmem,mem,sysrq-trigger} rwklx,
  deny @{PROC}/{keys,key-users,latency_stats,timer_list,timer_stats,sched_debug,interrupts} w,
  deny @{PROC}/{acpi,asound,bus,driver,fs,irq,scsi,tty}/** w,

  # Of the kernel's parameters only those of the IPC namespace.
  deny @{PROC}/sys/{abi,crypto,debug,dev,net,sunrpc,user,vm,xen}/** wkl,
  deny @{PROC}/sys/fs/{[^m],m[^q]}** wkl,
  deny @{PROC}/sys/kernel/{[^sm],s[^eh],se[^m],sh[^m],m[^s],ms[^g]}** wkl,

  # Of sysfs only the container's cgroups.
  deny /sys/{block,bus,class,dev,devices,hypervisor,kernel,module,power}/** wkl,
  deny /sys/fs/{[^c],c[^g]}** wkl,
  deny /sys/firmware/** rwklx,
  deny /sys/kernel/{debug,security,tracing}/** rwklx,
}
`;
