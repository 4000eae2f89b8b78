import { describe, expect, test } from 'vitest'
import { hostWith } from './host-files.fixture.ts'
import { coreDumps, ksm, mitigations, smt, swap } from './memory-leak-checks.ts'

const warning = (detail: RegExp, mend: RegExp) => ({
  status: 'warning',
  detail: expect.stringMatching(detail),
  mend: expect.stringMatching(mend),
})
const ok = { status: 'ok' }

describe('CPU threads', () => {
  const machine = (active: string) => hostWith({ files: { '/sys/devices/system/cpu/smt/active': active } })

  test('two threads per core are a warning', () => {
    expect(smt(undefined, machine('1'))).toMatchObject(warning(/observe each other/, /smt\/control.*nosmt/))
  })
  test('one thread, and a machine that does not report threads, are fine', () => {
    expect(smt(undefined, machine('0'))).toMatchObject(ok)
    expect(smt(undefined, hostWith({}))).toMatchObject(ok)
  })
})

describe('faults of the CPU', () => {
  const machine = (faults: Record<string, string>) =>
    hostWith({
      files: Object.fromEntries(
        Object.entries(faults).map(([name, text]) => [
          `/sys/devices/system/cpu/vulnerabilities/${name}`,
          text,
        ]),
      ),
    })

  test('vulnerabilities that are not or only partly mitigated are listed', () => {
    const faults = {
      mds: 'Vulnerable: Clear CPU buffers attempted, no microcode; SMT vulnerable',
      spectre_v2: 'Mitigation: Retpolines; BHI: Vulnerable',
      meltdown: 'Mitigation: PTI',
    }
    const verdict = mitigations(undefined, machine(faults))
    expect(verdict).toMatchObject(
      warning(/^open: mds \(.*no microcode\), spectre_v2 \(BHI: Vulnerable\)$/, /microcode/),
    )
  })
  test('faults that are mitigated, absent, or about KVM or SMT only are fine', () => {
    const faults = {
      l1tf: 'Mitigation: PTE Inversion; VMX: conditional cache flushes, SMT vulnerable',
      itlb_multihit: 'KVM: Vulnerable',
      srbds: 'Not affected',
    }
    expect(mitigations(undefined, machine(faults))).toMatchObject(ok)
  })
  test('a kernel that does not report vulnerabilities is a warning', () => {
    expect(mitigations(undefined, hostWith({}))).toMatchObject(warning(/does not report/, /kernel/))
  })
})

describe('swap', () => {
  const HEAD = 'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority'
  const swaps = (...lines: string[]) => ({ '/proc/swaps': [HEAD, ...lines].join('\n') })

  test('none is fine', () => {
    expect(swap(undefined, hostWith({ files: swaps() }))).toEqual({ status: 'ok', detail: 'none' })
  })
  test('an unencrypted partition and file are named', () => {
    const files = swaps('/dev/sda2 partition 1 0 -2', '/swapfile file 1 0 -3')
    const machine = hostWith({
      files,
      devices: { '/swapfile': '8:1' },
      links: { '/sys/dev/block/8:1': '/sys/devices/sda1' },
    })
    expect(swap(undefined, machine)).toMatchObject(
      warning(/not encrypted: \/dev\/sda2, \/swapfile/, /dm-crypt/),
    )
  })
  test('dm-crypt, a volume on it, a file on it, and zram are fine', () => {
    const machine = hostWith({
      files: {
        ...swaps(
          '/dev/dm-0 partition',
          '/dev/mapper/vg-swap partition',
          '/swapfile file',
          '/dev/zram0 partition',
        ),
        '/sys/class/block/dm-0/dm/uuid': 'CRYPT-PLAIN-swap',
        '/sys/class/block/dm-1/dm/uuid': 'LVM-abc',
        '/sys/class/block/dm-1/slaves/dm-0/dev': '253:0',
      },
      links: {
        '/dev/mapper/vg-swap': '/dev/dm-1',
        '/sys/dev/block/253:1': '/sys/devices/virtual/block/dm-1',
      },
      devices: { '/swapfile': '253:1' },
    })
    expect(swap(undefined, machine)).toMatchObject(ok)
  })
  test('a volume on an encrypted and a plain disk is a warning', () => {
    const machine = hostWith({
      files: {
        ...swaps('/dev/dm-1 partition'),
        '/sys/class/block/dm-0/dm/uuid': 'CRYPT-LUKS2-x',
        '/sys/class/block/dm-1/slaves/dm-0/dev': '253:0',
        '/sys/class/block/dm-1/slaves/sda3/dev': '8:3',
      },
    })
    expect(swap(undefined, machine)).toMatchObject({ status: 'warning' })
  })
})

test('merged pages are a warning while merging is on', () => {
  const machine = (run: string) => hostWith({ files: { '/sys/kernel/mm/ksm/run': run } })
  expect(ksm(undefined, machine('1'))).toMatchObject(warning(/same page/, /echo 2/))
  for (const run of ['0', '2']) expect(ksm(undefined, machine(run))).toMatchObject(ok)
})

describe('core dumps', () => {
  const machine = (pattern: string, limit: string, more: Record<string, string> = {}) =>
    hostWith({
      files: {
        '/proc/sys/kernel/core_pattern': pattern,
        '/proc/self/limits': `Max core file size        ${limit}            unlimited            bytes`,
        ...more,
      },
    })

  test.each([
    ['core', '0'],
    ['', 'unlimited'],
    ['|/bin/false', 'unlimited'],
  ])('with the pattern %j and the limit %s no core file is kept', (pattern, limit) => {
    expect(coreDumps(undefined, machine(pattern, limit))).toMatchObject(ok)
  })
  test('a core file is a warning where the limit allows it', () => {
    expect(coreDumps(undefined, machine('/var/core.%p', 'unlimited'))).toMatchObject(
      warning(/named \/var\/core\.%p/, /ulimit -c 0/),
    )
  })
  test('a program that handles core dumps is a warning whatever the limit', () => {
    expect(coreDumps(undefined, machine('|/usr/share/apport/apport %p', '0'))).toMatchObject(
      warning(/go to \/usr\/share\/apport\/apport:/, /core_pattern/),
    )
  })
  test('systemd is fine when it stores none', () => {
    const pattern = '|/usr/lib/systemd/systemd-coredump %P'
    expect(coreDumps(undefined, machine(pattern, '0'))).toMatchObject(
      warning(/systemd-coredump/, /Storage=none/),
    )
    const none = { '/etc/systemd/coredump.conf': '[Coredump]\n#Storage=external\nStorage=none' }
    expect(coreDumps(undefined, machine(pattern, '0', none))).toMatchObject(ok)
  })
})
