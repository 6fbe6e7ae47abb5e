import test from 'ava';
import { commandLine } from '../../pve/qemu/command/command-line.ts';
import { nodePlaces, type HostFacts } from '../../pve/qemu/command/host.ts';
import { forUpstream } from '../../pve/qemu/command/upstream.ts';

const host: HostFacts = {
  release: '9.2',
  qemu: '10.1.2',
  kvm: true,
  vhostNet: true,
  cpus: 4,
  ...nodePlaces,
  volume: (volid) => {
    const [, path = ''] = volid.split(':');
    const iso = path.startsWith('iso/');
    const file = iso ? `/var/lib/vz/template/${path}` : `/var/lib/vz/images/${path}`;
    return { path: file, format: iso ? 'iso' : path.replace(/^.*\./, ''), storage: 'dir' };
  },
  mtu: () => 1500,
};

const old: HostFacts = { ...host, release: '8.4', qemu: '9.2.0' };

/** The values of an option in their order. */
function all(command: readonly string[], option: string): string[] {
  return command.flatMap((word, index) => (command[index - 1] === option ? [word] : []));
}

const run = (values: Record<string, string>, of = host) => commandLine(100, values, of);

/** The device with the id. */
function device(command: readonly string[], id: string): string | undefined {
  return all(command, '-device').find((value) => new RegExp(`[,=]id=${id}(,|$)`).test(value));
}

test('a machine without settings has what Proxmox gives to each', (t) => {
  t.deepEqual(run({}), [
    '/usr/bin/kvm',
    ...['-id', '100', '-name', 'vm100,debug-threads=on', '-no-shutdown'],
    ...['-chardev', 'socket,id=qmp,path=/var/run/qemu-server/100.qmp,server=on,wait=off'],
    ...['-mon', 'chardev=qmp,mode=control'],
    ...['-chardev', 'socket,id=qmp-event,path=/var/run/qmeventd.sock,reconnect-ms=5000'],
    ...['-mon', 'chardev=qmp-event,mode=control'],
    ...['-pidfile', '/var/run/qemu-server/100.pid', '-daemonize'],
    ...['-smp', '1,sockets=1,cores=1,maxcpus=1', '-nodefaults'],
    ...['-boot', 'menu=on,strict=on,reboot-timeout=1000,splash=/usr/share/qemu-server/bootsplash.jpg'],
    ...['-vnc', 'unix:/var/run/qemu-server/100.vnc,password=on'],
    ...['-cpu', 'kvm64,enforce,+kvm_pv_eoi,+kvm_pv_unhalt,+lahf_lm,+sep', '-m', '512'],
    ...['-global', 'PIIX4_PM.disable_s3=1', '-global', 'PIIX4_PM.disable_s4=1'],
    ...['-device', 'pci-bridge,id=pci.1,chassis_nr=1,bus=pci.0,addr=0x1e'],
    ...['-device', 'pci-bridge,id=pci.2,chassis_nr=2,bus=pci.0,addr=0x1f'],
    ...['-device', 'piix3-usb-uhci,id=uhci,bus=pci.0,addr=0x1.0x2'],
    ...['-device', 'usb-tablet,id=tablet,bus=uhci.0,port=1'],
    ...['-device', 'VGA,id=vga,bus=pci.0,addr=0x2'],
    ...['-device', 'virtio-balloon-pci,id=balloon0,bus=pci.0,addr=0x3,free-page-reporting=on'],
    ...['-machine', 'type=pc+pve0'],
  ]);
});

test('a disk is three nodes of the block layer', (t) => {
  const command = run({ scsihw: 'virtio-scsi-single', scsi1: 'local:100/vm-100-disk-0.qcow2,iothread=1,discard=on' });
  const [disk] = all(command, '-blockdev').map((text) => JSON.parse(text) as Record<string, unknown>);
  t.like(disk, {
    driver: 'throttle',
    'node-name': 'drive-scsi1',
    file: {
      driver: 'qcow2',
      cache: { direct: true, 'no-flush': false },
      file: { driver: 'file', filename: '/var/lib/vz/images/100/vm-100-disk-0.qcow2', aio: 'io_uring' },
    },
  });
  t.is(
    device(command, 'scsi1'),
    'scsi-hd,bus=virtioscsi1.0,channel=0,scsi-id=0,lun=1,drive=drive-scsi1,id=scsi1,device_id=drive-scsi1,write-cache=on',
  );
  t.is(
    device(command, 'virtioscsi1'),
    'virtio-scsi-pci,id=virtioscsi1,bus=pci.3,addr=0x2,iothread=iothread-virtioscsi1',
  );
  t.is(device(command, 'pci\\.3'), 'pci-bridge,id=pci.3,chassis_nr=3,bus=pci.0,addr=0x5');
  t.deepEqual(all(command, '-object'), [
    'iothread,id=iothread-virtioscsi1',
    '{"id":"throttle-drive-scsi1","limits":{},"qom-type":"throttle-group"}',
  ]);
});

test('release 8 has drives of one option each', (t) => {
  const values = {
    virtio0: 'local:100/vm-100-disk-0.raw,mbps_rd=2,iops=100,ro=1',
    ide2: 'local:iso/debian.iso,media=cdrom',
    ide3: 'none,media=cdrom',
    sata0: 'local:100/vm-100-disk-1.qcow2,cache=writeback,aio=native,serial=a%2Cb',
  };
  const command = run(values, old);
  t.deepEqual(all(command, '-drive'), [
    'file=/var/lib/vz/template/iso/debian.iso,if=none,id=drive-ide2,media=cdrom,format=raw,aio=io_uring',
    'if=none,id=drive-ide3,media=cdrom,aio=io_uring',
    'file=/var/lib/vz/images/100/vm-100-disk-0.raw,if=none,id=drive-virtio0,readonly=on,' +
      'throttling.iops-total=100,throttling.bps-read=2097152,format=raw,cache=none,aio=io_uring,detect-zeroes=on',
    'file=/var/lib/vz/images/100/vm-100-disk-1.qcow2,if=none,id=drive-sata0,cache=writeback,aio=native,' +
      'format=qcow2,detect-zeroes=on',
  ]);
  t.is(device(command, 'sata0'), 'ide-hd,bus=ahci0.0,drive=drive-sata0,id=sata0,serial=a,,b');
  t.deepEqual(all(command, '-blockdev'), []);
  t.is(all(command, '-machine')[0], 'type=pc+pve1');
  t.is(device(run(values), 'ide3'), 'ide-cd,bus=ide.1,unit=1,id=ide3,bootindex=201');
});

test('devices are tried in the order of the configuration', (t) => {
  const disks = {
    scsi0: 'local:100/vm-100-disk-0.raw',
    virtio1: 'local:100/vm-100-disk-1.raw',
    ide2: 'none,media=cdrom',
    net0: 'virtio=BC:24:11:00:00:01,bridge=vmbr0',
  };
  const places = (boot: Record<string, string>) => {
    const command = run({ ...disks, ...boot });
    return Object.keys(disks).map((id) => /bootindex=(\d+)/.exec(device(command, id)!)?.[1]);
  };
  t.deepEqual(places({ boot: 'order=net0;scsi0' }), ['101', undefined, undefined, '100']);
  t.deepEqual(places({ bootdisk: 'virtio1' }), [undefined, '101', '200', '300']);
  t.deepEqual(places({ boot: 'dc', bootdisk: 'scsi0' }), ['200', undefined, '100', undefined]);
  t.deepEqual(places({ boot: '' }), [undefined, undefined, undefined, undefined]);
});

test('networks are taps that a script connects', (t) => {
  const values = {
    net0: 'virtio=BC:24:11:00:00:01,bridge=vmbr0,queues=2',
    net7: 'model=e1000,macaddr=BC:24:11:00:00:02',
  };
  const command = run(values);
  t.deepEqual(all(command, '-netdev'), [
    'type=tap,id=net0,ifname=tap100i0,script=/usr/libexec/qemu-server/pve-bridge,' +
      'downscript=/usr/libexec/qemu-server/pve-bridgedown,vhost=on,queues=2',
    'type=user,id=net7,hostname=vm100',
  ]);
  t.is(
    device(command, 'net0'),
    'virtio-net-pci,mac=BC:24:11:00:00:01,netdev=net0,bus=pci.0,addr=0x12,id=net0,vectors=6,mq=on,packed=on,' +
      'rx_queue_size=1024,tx_queue_size=256,bootindex=300,host_mtu=1500',
  );
  t.is(device(command, 'net7'), 'e1000,mac=BC:24:11:00:00:02,netdev=net7,bus=pci.1,addr=0x2,id=net7,bootindex=301');
  t.notRegex(device(run(values, old), 'net0')!, /host_mtu/, 'release 8 says it where the configuration does');
  t.regex(device(run(values, { ...host, qemu: '11.0.0' }), 'net0')!, /,host_tunnel=off$/);
  t.throws(() => run({ net0: 'virtio=BC:24:11:00:00:01,bridge=vmbr0,mtu=9000' }), {
    message: /bigger than the bridge/,
  });
});

test('ports of the agent, consoles and shares are sockets', (t) => {
  const command = run({
    agent: '1',
    serial0: 'socket',
    vga: 'serial0',
    virtiofs0: 'share,cache=always',
    memory: '1024',
  });
  const sockets = all(command, '-chardev');
  t.true(sockets.includes('socket,path=/var/run/qemu-server/100.qga,server=on,wait=off,id=qga0'));
  t.true(sockets.includes('socket,id=serial0,path=/var/run/qemu-server/100.serial0,server=on,wait=off'));
  t.true(sockets.includes('socket,id=virtiofs0,path=/run/qemu-server/virtiofsd/vm100-fs0'));
  t.deepEqual(all(command, '-device').slice(-1), ['vhost-user-fs-pci,queue-size=1024,chardev=virtiofs0,tag=share']);
  t.deepEqual(all(command, '-object'), ['memory-backend-memfd,id=virtiofs-mem,size=1024M,share=on']);
  t.deepEqual(all(command, '-machine'), ['memory-backend=virtiofs-mem,smm=off,type=pc+pve0']);
  t.true(command.includes('-nographic') && !command.includes('-vnc'));
  t.is(device(command, 'tablet'), undefined);
});

test('processors and memory are as configured', (t) => {
  const command = run({ sockets: '2', cores: '2', vcpus: '3', cpu: 'x86-64-v2-AES,flags=-aes;+pcid', numa: '1' });
  t.deepEqual(all(command, '-smp'), ['3,sockets=2,cores=2,maxcpus=4']);
  t.deepEqual(all(command, '-cpu'), [
    'qemu64,-aes,enforce,+kvm_pv_eoi,+kvm_pv_unhalt,+pcid,+pni,+popcnt,+sse4.1,+sse4.2,+ssse3',
  ]);
  t.deepEqual(all(command, '-numa'), [
    'node,nodeid=0,cpus=0-1,memdev=ram-node0',
    'node,nodeid=1,cpus=2-3,memdev=ram-node1',
  ]);
  t.deepEqual(all(run({ cpu: 'EPYC-v4,hidden=1', kvm: '0' }), '-cpu'), ['EPYC-v4,kvm=off,vendor=AuthenticAMD']);
  const plugged = run({ cores: '2', vcpus: '2', hotplug: 'cpu,disk' });
  t.is(device(plugged, 'cpu2'), 'kvm64-x86_64-cpu,id=cpu2,socket-id=0,core-id=1,thread-id=0');
  t.throws(() => run({ cores: '5' }), { message: 'MAX 4 vcpus allowed per VM on this node' });
});

test('a machine that is pinned stays as it was', (t) => {
  const disk = { scsi0: 'local:100/vm-100-disk-0.raw', ostype: 'l26' };
  const pinned = run({ ...disk, machine: 'pc-i440fx-9.2' });
  t.deepEqual(all(pinned, '-blockdev'), [], 'drives are nodes since 10.0');
  t.deepEqual(all(pinned, '-global'), [], 'it sleeps, as before its revision 1');
  t.deepEqual(all(pinned, '-machine'), ['type=pc-i440fx-9.2+pve0']);
  t.deepEqual(all(run({ ...disk, machine: 'pc-q35-9.2+pve1' }), '-global'), [
    'ICH9-LPC.disable_s3=1',
    'ICH9-LPC.disable_s4=1',
  ]);
  t.deepEqual(all(run({ ...disk, machine: 'q35' }), '-machine'), ['hpet=off,type=q35+pve0']);
  t.throws(() => run({ machine: 'pc-i440fx-11.0' }), { message: /'10.1.2' is too old/ });
  t.throws(() => run({ machine: 'pc-i440fx-10.1+pve3' }), { message: /max feature level for 10.1 is pve0/ });
  t.deepEqual(all(run({ ostype: 'win10', meta: 'creation-qemu=9.2.0,ctime=1' }), '-machine'), [
    'hpet=off,type=pc-i440fx-9.2+pve0',
  ]);
});

test('arguments of the configuration come last', (t) => {
  const command = run({ args: `-device 'edu,id=a b' -name "x\\"y" c\\ d` });
  t.deepEqual(command.slice(-5), ['-device', 'edu,id=a b', '-name', 'x"y', 'c d']);
  t.deepEqual(run({ affinity: '0,2' }).slice(0, 5), [
    '/usr/bin/taskset',
    '--cpu-list',
    '--all-tasks',
    '0,2',
    '/usr/bin/kvm',
  ]);
});

test('what is left out is refused by name', (t) => {
  t.throws(() => run({ hostpci0: '0000:01:00.0' }), { message: "'hostpci0' is not part of the simulated node" });
  t.throws(() => run({ vga: 'qxl' }), { message: /'qxl'.*SPICE/ });
  t.throws(() => run({}, { ...host, kvm: false }), { message: /^KVM virtualisation configured, but not available/ });
});

test('QEMU as Debian builds it gets what it knows', (t) => {
  const values = { kvm: '0', cpu: 'host', vga: 'none', scsi0: 'local:100/vm-100-disk-0.raw' };
  const command = forUpstream(run(values), { kvm: false, ioUring: false });
  t.false(command.includes('-id'));
  t.deepEqual(all(command, '-machine'), ['accel=tcg,smm=off,type=pc']);
  t.deepEqual(all(command, '-boot'), ['menu=on,strict=on,reboot-timeout=1000']);
  t.deepEqual(all(command, '-cpu'), ['max']);
  t.regex(all(command, '-blockdev')[0]!, /"aio":"threads"/);
  const plugged = run({ kvm: '0', cpu: 'host', hotplug: 'cpu', cores: '2' });
  t.regex(device(forUpstream(plugged, { kvm: false, ioUring: true }), 'cpu2')!, /^max-x86_64-cpu,/);
});
