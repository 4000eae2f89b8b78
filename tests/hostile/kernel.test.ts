import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { asRoot, guest, pythonAsRoot, server } from './guest.ts'

describe('root in a sandbox', () => {
  const attacker = guest()
  const neighbour = guest()
  const secret = `secret-${randomUUID()}`
  const marker = path.join(os.tmpdir(), secret)

  beforeAll(() => writeFile(marker, secret))
  afterAll(() => rm(marker, { force: true }))

  test('sees nothing of the host', async () => {
    const { stdout } = await asRoot(
      attacker(),
      `find / -name '${secret}' 2>/dev/null; ls -d '${marker}' '${server.home}' /proc/1/root'${marker}' /proc/*/cwd'${marker}' 2>/dev/null; true`,
    )
    expect(stdout).toBe('')
    const hostKernel = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    expect((await asRoot(attacker(), 'cat /proc/sys/kernel/random/boot_id')).stdout.trim()).not.toBe(
      hostKernel,
    )
    expect((await asRoot(attacker(), 'cat /proc/*/cmdline | tr "\\0" " "')).stdout).not.toContain('runsc')
  })

  test('cannot read a device whose node it made', async () => {
    const hostDevices = readFileSync('/proc/partitions', 'utf8')
      .split('\n')
      .slice(2)
      .flatMap((line) => /^\s*(\d+)\s+(\d+)/.exec(line)?.slice(1, 3).join(':') ?? [])
    const devices = {
      block: [...hostDevices, '7:0', '8:0', '8:1', '252:0', '253:0', '254:0', '259:0'],
      // /dev/mem, kmem, port, kmsg, kvm, loop-control, vhost-net
      char: ['1:1', '1:2', '1:4', '1:11', '10:232', '10:237', '10:238'],
    }
    const program = `
import json, os, stat, sys
opened = []
for kind, numbers in json.loads(sys.argv[1]).items():
    for number in numbers:
        major, minor = map(int, number.split(":"))
        path = f"/root/{kind}-{major}-{minor}"
        try:
            os.mknod(path, (stat.S_IFBLK if kind == "block" else stat.S_IFCHR) | 0o600, os.makedev(major, minor))
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            opened.append([kind, number, len(os.read(descriptor, 512))])
        except OSError:
            pass
print(json.dumps(opened))`
    expect(await pythonAsRoot(attacker(), program, JSON.stringify(devices))).toEqual([])
    const { stdout } = await asRoot(
      attacker(),
      'ls /dev/mem /dev/kmem /dev/port /dev/kvm /dev/sd* /dev/vd* /dev/nvme* 2>/dev/null; true',
    )
    expect(stdout).toBe('')
  })

  test('cannot mount a disk, the host or its kernel file systems', async () => {
    const attempts = [
      'mount /dev/vda /mnt',
      'mount /dev/sda1 /mnt',
      'mknod /root/disk b 254 0 && mount /root/disk /mnt',
      'truncate -s 1M /root/image && mkfs.ext4 -q -F /root/image && mount -o loop /root/image /mnt',
      'mount -t debugfs none /mnt',
      'mount -t securityfs none /mnt',
      'mount -t bpf none /mnt',
      'mount -t nfs 127.0.0.1:/ /mnt',
      'mount -t virtiofs host /mnt',
      'mount -t 9p host /mnt',
    ]
    for (const attempt of attempts) {
      expect((await asRoot(attacker(), `(${attempt}) 2>&1`)).exitCode, attempt).not.toBe(0)
    }
    expect((await asRoot(attacker(), 'cat /proc/mounts')).stdout).not.toMatch(/ \/mnt /)
  })

  test('finds no other way into the host through a file system it may mount', async () => {
    const { stdout } = await asRoot(
      attacker(),
      `mkdir -p /mnt/p /mnt/s /mnt/c; mount -t proc none /mnt/p; mount -t sysfs none /mnt/s; mount -t cgroup none /mnt/c;
       find /mnt -name release_agent -o -name '${secret}' -o -name core_pattern -o -name uevent_helper 2>/dev/null; umount /mnt/*; true`,
    )
    expect(stdout).toBe('')
  })

  test('cannot reach the kernel by /proc and /sys', async () => {
    const files = [
      '/proc/sysrq-trigger',
      '/proc/sys/kernel/core_pattern',
      '/proc/sys/kernel/modprobe',
      '/proc/sys/vm/panic_on_oom',
      '/proc/sys/fs/binfmt_misc/register',
      '/sys/kernel/uevent_helper',
      '/sys/power/state',
      '/sys/fs/cgroup/release_agent',
    ]
    const before = readFileSync('/proc/sys/kernel/core_pattern', 'utf8')
    for (const file of files) {
      expect((await asRoot(attacker(), `echo h > ${file}`)).exitCode, file).not.toBe(0)
    }
    for (const file of [
      '/proc/kcore',
      '/proc/kmem',
      '/dev/mem',
      '/sys/kernel/debug/gpio',
      '/sys/firmware/dmi/tables/DMI',
    ]) {
      expect((await asRoot(attacker(), `head -c 1 ${file}`)).exitCode, file).not.toBe(0)
    }
    expect(readFileSync('/proc/sys/kernel/core_pattern', 'utf8')).toBe(before)
  })

  test('cannot load a module, another kernel or a program into the kernel, or stop the machine', async () => {
    const program = `
import ctypes, errno, json, platform
numbers = {
    "x86_64": {"init_module": 175, "finit_module": 313, "kexec_load": 246, "bpf": 321, "perf_event_open": 298, "iopl": 172, "ioperm": 173, "swapon": 167, "acct": 163, "io_uring_setup": 425, "userfaultfd": 323},
    "aarch64": {"init_module": 105, "finit_module": 273, "kexec_load": 104, "bpf": 280, "perf_event_open": 241, "swapon": 224, "acct": 89, "io_uring_setup": 425, "userfaultfd": 282},
}[platform.machine()]
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
buffer = ctypes.create_string_buffer(256)
worked = []
for name, number in numbers.items():
    ctypes.set_errno(0)
    if libc.syscall(number, ctypes.c_long(3), buffer, ctypes.c_long(0), ctypes.c_long(0), ctypes.c_long(0)) >= 0:
        worked.append(name)
print(json.dumps(worked))`
    expect(await pythonAsRoot(attacker(), program)).toEqual([])
    expect((await asRoot(attacker(), 'modprobe dummy || insmod /tmp/x.ko')).exitCode).not.toBe(0)
  })

  test('cannot restart more than its own sandbox', async () => {
    await asRoot(attacker(), 'python3 -c "import ctypes; ctypes.CDLL(None).reboot(0x1234567)"; true').catch(
      () => {},
    )
    expect((await neighbour().commands.run('echo up')).stdout).toBe('up\n')
  })

  test('cannot signal or trace what is not in its sandbox', async () => {
    const { stdout } = await asRoot(neighbour(), 'ls /proc | grep -c "^[0-9]"')
    expect(Number(stdout)).toBeLessThan(30)
    await asRoot(neighbour(), `for pid in ${server.pid} ${process.pid}; do kill -9 $pid; done; true`)
    expect(
      (await fetch(`${server.env.E2B_API_URL}/health`, { signal: AbortSignal.timeout(5_000) })).status,
    ).toBe(204)
  })
})
