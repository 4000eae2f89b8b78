import { readdir, readFile, readlink } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

const LOOK_EVERY_MS = 10
/** Value of `Eth` for sockets of netfilter. */
const NETLINK_NETFILTER = '12'

/**
 * Resolves when a process listens to a group of netfilter's events, or when the time is over: what happens from then on is
 * reported to it.
 * @param group number of the group, 1 to 32, of linux/netfilter/nfnetlink_compat.h and nfnetlink.h
 * @returns whether it listens
 */
export async function untilListening(pid: number, group: number, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    if (await isListening(pid, group)) return true
    if (performance.now() > deadline) return false
    await sleep(LOOK_EVERY_MS, undefined, { ref: false })
  }
}

async function isListening(pid: number, group: number): Promise<boolean> {
  const own = await socketsOf(pid)
  const table = await readFile('/proc/net/netlink', 'utf8').catch(() => '')
  // sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode
  return table.split('\n').some((line) => {
    const [, family, , groups = '', , , , , , inode = ''] = line.trim().split(/\s+/)
    const isMember = (Number.parseInt(groups, 16) >>> (group - 1)) & 1
    return family === NETLINK_NETFILTER && isMember === 1 && own.has(inode)
  })
}

/** @returns inodes of the sockets of a process; none when it has ended */
async function socketsOf(pid: number): Promise<Set<string>> {
  const dir = `/proc/${pid}/fd`
  const links = (await readdir(dir).catch(() => [])).map((name) => readlink(`${dir}/${name}`).catch(() => ''))
  const inodes = (await Promise.all(links)).map((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1])
  return new Set(inodes.filter((inode) => inode !== undefined))
}
