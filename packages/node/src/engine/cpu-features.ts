import { readFileSync } from 'node:fs'

/** Features of this machine's CPU by their Linux names; processes in a checkpoint may have detected any of them. */
export function cpuFeatures(cpuinfo = readFileSync('/proc/cpuinfo', 'utf8')): string[] {
  const line = /^(?:flags|Features)\s*:\s*(.+)$/m.exec(cpuinfo)?.[1] ?? ''
  return line.split(/\s+/).filter(Boolean).sort()
}
