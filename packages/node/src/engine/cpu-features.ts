import { readFileSync } from 'node:fs'

/** What this machine's CPU can do, as Linux names it; a checkpoint's processes may have noticed any of it. */
export function cpuFeatures(cpuinfo = readFileSync('/proc/cpuinfo', 'utf8')): string[] {
  const line = /^(?:flags|Features)\s*:\s*(.+)$/m.exec(cpuinfo)?.[1] ?? ''
  return line.split(/\s+/).filter(Boolean).sort()
}
