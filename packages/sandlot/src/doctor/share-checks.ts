import { readFileSync } from 'node:fs'
import { canLimitSwap, canWeighDisk } from '@sandlot/node/machines/cgroups'
import type { Settings } from '../settings.ts'
import type { Verdict } from './finding.ts'
import { type HostFiles, hostFiles } from './host-files.ts'

/** Warns of swap without a limit, which a single sandbox can fill. */
export function swapLimit(
  meminfo = readFileSync('/proc/meminfo', 'utf8'),
  isLimited = canLimitSwap(),
): Verdict {
  if (isLimited) return { status: 'ok', detail: 'sandboxes do not swap' }
  const swapMB = Math.floor(Number(/^SwapTotal:\s+(\d+) kB$/m.exec(meminfo)?.[1] ?? 0) / 1024)
  if (swapMB === 0)
    return { status: 'ok', detail: 'the kernel cannot limit swap per sandbox, but there is none' }
  return {
    status: 'warning',
    detail: `the kernel cannot limit swap per sandbox: one sandbox may fill the ${swapMB} MB of swap`,
    mend: 'boot with swapaccount=1, or turn swap off (swapoff -a)',
  }
}

/** Reports only, never fails: without weights the busiest sandboxes get most of the disk, and the disk guard still works. */
export function diskShare(isWeighed = canWeighDisk()): Verdict {
  return {
    status: 'ok',
    detail: isWeighed
      ? 'by weights: sandboxes have a lower one than the rest of the machine'
      : 'not by weights (scheduler bfq, or io.cost of cgroups v2): a sandbox that writes a lot slows down others',
  }
}

/**
 * Warns when sandboxes can fill the kernel's table of connections, because then new connections of the whole machine are
 * dropped.
 */
export function connectionTable(
  { sandboxConnections, slots }: Pick<Settings, 'sandboxConnections' | 'slots'>,
  files: HostFiles = hostFiles,
): Verdict {
  const most = Number(files.read('/proc/sys/net/netfilter/nf_conntrack_max') ?? 0)
  if (most === 0) return { status: 'ok', detail: 'not in use yet' }
  const wanted = sandboxConnections * slots
  if (wanted < most)
    return { status: 'ok', detail: `${wanted} of ${most} connections at most are sandboxes'` }
  return {
    status: 'warning',
    detail: `${slots} sandboxes with ${sandboxConnections} connections each fill the kernel's table of ${most} for the whole machine`,
    mend: `lower sandboxConnections or slots, or sysctl -w net.netfilter.nf_conntrack_max=${wanted * 2} (300 bytes each)`,
  }
}
