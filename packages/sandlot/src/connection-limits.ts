import { readFileSync } from 'node:fs'
import type { Logger } from 'pino'
import type { Settings } from './settings.ts'

/** Open files for each connection to a sandbox; the rest of the server needs some more. */
const FILES_PER_CONNECTION = 2
const OTHER_FILES = 512

/** Limits of the settings, capped by the number of files that this process may open. */
export function connectionLimits(
  { maxConnections, maxConnectionsPerAddress }: Settings,
  logger: Pick<Logger, 'warn'>,
  maxFiles = maxOpenFiles(),
): { maxConnections: number; maxConnectionsPerAddress: number } {
  const fitting = Math.max(16, Math.floor((maxFiles - OTHER_FILES) / FILES_PER_CONNECTION))
  if (fitting >= maxConnections) return { maxConnections, maxConnectionsPerAddress }
  logger.warn(
    `maxConnections is ${maxConnections}, but this process may only open ${maxFiles} files: the limit is ${fitting} (raise the limit of files with 'ulimit -n')`,
  )
  return { maxConnections: fitting, maxConnectionsPerAddress }
}

/** Reads the hard limit, as Node raises its soft limit to the hard one when it starts. */
function maxOpenFiles(): number {
  const line = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
  return line ? Number(line[1]) : Number.POSITIVE_INFINITY
}
