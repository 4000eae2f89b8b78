import { basename } from 'node:path'
import type { Config } from '../config.ts'
import type { Verdict } from './finding.ts'
import { type HostFiles, hostFiles } from './host-files.ts'

/*
 * Checks for ways in which a sandbox's memory could be read by another sandbox, or remain on a disk. Each is a setting of
 * the machine, which is left to the administrator, as other programs may need it. See docs/security.md for the
 * consequences.
 */

/** Most layers of device mapper below a swap device, so that the search always ends. */
const MAX_DEPTH = 8

export function smt(_config?: Config, files: HostFiles = hostFiles): Verdict {
  const path = '/sys/devices/system/cpu/smt/active'
  if (files.read(path) !== '1') return { status: 'ok', detail: 'one thread per core' }
  return {
    status: 'warning',
    detail: 'on: sandboxes on two threads of one core may observe each other',
    mend: 'when sandboxes do not trust each other: echo off > /sys/devices/system/cpu/smt/control, and boot with nosmt',
  }
}

export function mitigations(_config?: Config, files: HostFiles = hostFiles): Verdict {
  const folder = '/sys/devices/system/cpu/vulnerabilities'
  const names = files.list(folder).sort()
  if (names.length === 0)
    return {
      status: 'warning',
      detail: 'this kernel does not report which vulnerabilities of the CPU it mitigates',
      mend: 'boot a kernel of 4.15 or newer',
    }
  const open = names.flatMap((name) => {
    // a file may list several states; those of KVM do not matter
    const parts = (files.read(`${folder}/${name}`) ?? '').split(';').map((part) => part.trim())
    const bad = parts.filter((part) => /\bVulnerable\b/.test(part) && !part.startsWith('KVM:'))
    return bad.length > 0 ? [`${name} (${bad.join(', ')})`] : []
  })
  if (open.length === 0)
    return { status: 'ok', detail: `${names.length} known vulnerabilities of CPUs, all mitigated` }
  return {
    status: 'warning',
    detail: `open: ${open.join(', ')}`,
    mend: 'update kernel and microcode (intel-microcode, amd64-microcode), and boot without mitigations=off',
  }
}

export function swap(_config?: Config, files: HostFiles = hostFiles): Verdict {
  const lines = (files.read('/proc/swaps') ?? '').split('\n').slice(1).filter(Boolean)
  const plain = lines
    .map((line) => line.split(/\s+/))
    .filter(([path = '', type]) => !isSafeSwap(path, type === 'file', files))
    .map(([path]) => path)
  if (lines.length === 0) return { status: 'ok', detail: 'none' }
  if (plain.length === 0) return { status: 'ok', detail: `${lines.length}, encrypted or in memory` }
  return {
    status: 'warning',
    detail: `not encrypted: ${plain.join(', ')}; memory of sandboxes stays there after they are gone`,
    mend: 'swapoff -a, or put swap on dm-crypt with a random key (`man crypttab`, option swap)',
  }
}

function isSafeSwap(path: string, isFile: boolean, files: HostFiles): boolean {
  const device = isFile ? `/sys/dev/block/${files.deviceOf(path)}` : path
  const name = basename(files.resolve(device) ?? path)
  return /^zram\d+$/.test(name) || isEncrypted(name, files, MAX_DEPTH)
}

/** Whether a device is encrypted by dm-crypt, or consists only of such devices. */
function isEncrypted(name: string, files: HostFiles, depth: number): boolean {
  const block = `/sys/class/block/${name}`
  if (files.read(`${block}/dm/uuid`)?.startsWith('CRYPT-')) return true
  const below = files.list(`${block}/slaves`)
  return depth > 0 && below.length > 0 && below.every((one) => isEncrypted(one, files, depth - 1))
}

export function ksm(_config?: Config, files: HostFiles = hostFiles): Verdict {
  if (files.read('/sys/kernel/mm/ksm/run') !== '1') return { status: 'ok', detail: 'off' }
  return {
    status: 'warning',
    detail: 'on: the time of a write tells a process whether another has the same page',
    mend: 'echo 2 > /sys/kernel/mm/ksm/run (separates merged pages), and disable ksm and ksmtuned',
  }
}

export function coreDumps(_config?: Config, files: HostFiles = hostFiles): Verdict {
  const pattern = files.read('/proc/sys/kernel/core_pattern') ?? ''
  const limit = /^Max core file size\s+(\S+)/m.exec(files.read('/proc/self/limits') ?? '')?.[1]
  if (pattern === '') return { status: 'ok', detail: 'off' }
  if (/^\|\S*\/(false|true)\b/.test(pattern)) return { status: 'ok', detail: `thrown away (${pattern})` }
  if (pattern.startsWith('|')) return piped(pattern, files)
  if (limit === '0') return { status: 'ok', detail: 'none is written (ulimit -c 0)' }
  return {
    status: 'warning',
    detail: `files of up to ${limit ?? 'any'} bytes, named ${pattern}: that of a sandbox's kernel contains the sandbox's memory`,
    mend: 'start Sandlot with ulimit -c 0 (LimitCORE=0 in its systemd unit), or sysctl -w kernel.core_pattern=',
  }
}

/** Checks a program that handles core dumps, which is started whatever the limit for core files is. */
function piped(pattern: string, files: HostFiles): Verdict {
  const isSystemd = pattern.includes('systemd-coredump')
  const folder = '/etc/systemd/coredump.conf.d'
  const settings = ['/etc/systemd/coredump.conf', ...files.list(folder).map((name) => `${folder}/${name}`)]
  const isStored = !settings.some((path) => /^\s*Storage=none\s*$/m.test(files.read(path) ?? ''))
  if (isSystemd && !isStored) return { status: 'ok', detail: 'systemd-coredump stores none' }
  return {
    status: 'warning',
    detail: `go to ${pattern.slice(1).split(' ')[0]}: that of a sandbox's kernel contains the sandbox's memory`,
    mend: isSystemd
      ? 'Storage=none in /etc/systemd/coredump.conf'
      : "sysctl -w kernel.core_pattern='|/bin/false', and put it into /etc/sysctl.d too",
  }
}
