import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { commandLineOf } from './process-identity.ts'

/**
 * Describes the process that listens on a TCP port: "pid 123 (node server.js)". @returns undefined when this process may
 * not see the owner
 */
export function describePortOwner(port: number): string | undefined {
  const pid = findPortOwner(port)
  return pid === undefined ? undefined : `pid ${pid} (${commandLineOf(pid) ?? 'unknown'})`
}

/** Finds the pid of a process that listens on a TCP port in this network namespace. */
export function findPortOwner(port: number): number | undefined {
  const inodes = new Set([
    ...listeningInodes('/proc/net/tcp', port),
    ...listeningInodes('/proc/net/tcp6', port),
  ])
  if (inodes.size === 0) return undefined
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    for (const target of openFiles(pid)) {
      const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1]
      if (inode && inodes.has(inode)) return Number(pid)
    }
  }
}

/** proc(5): columns are sl, local, remote, state (0A listens), queues, timer, retransmits, uid, timeout, inode. */
function listeningInodes(table: string, port: number): string[] {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  try {
    return readFileSync(table, 'utf8')
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter((columns) => columns[1]?.endsWith(wanted) && columns[3] === '0A')
      .map((columns) => columns[9]!)
  } catch {
    return []
  }
}

function openFiles(pid: string): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${fd}`)]
      } catch {
        return []
      }
    })
  } catch {
    return []
  }
}
