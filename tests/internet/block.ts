import { execFile } from 'node:child_process'
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { labRegistries } from '../../packages/sandlot/src/lab-registries.ts'
import { CHECKOUT } from '../server.ts'
import { BLOCKS, isInBlock } from './addresses.ts'

const run = promisify(execFile)
const TIMEOUT_MS = 10_000
/** A namespace without an owner was left behind when it is older: its owner is written down at once. */
const CLAIM_MS = 30_000
/** Checkouts start their search apart, so that they seldom try for one block. */
const APART = 4
const REGISTRIES = ['registry.npmjs.org', 'pypi.org', 'files.pythonhosted.org', 'deb.debian.org']

export const ip = async (...args: string[]): Promise<string> =>
  (await run('ip', args, { timeout: TIMEOUT_MS })).stdout
export const nft = async (commands: string): Promise<void> => {
  await run('nft', [commands], { timeout: TIMEOUT_MS })
}

/** Name of the namespace, of the interface to it, and of the table of the firewall. */
export const namespaceOf = (block: number): string => `internet-${block}`
/** Short, as the path of a Unix socket has at most 107 bytes. */
export const folderOf = (block: number): string => `/run/sandlot-internet-${block}`

/** Reserves a block of addresses that nothing else on this machine uses, by making its namespace. */
export async function claimBlock(): Promise<number> {
  const used = await usedAddresses()
  for (let i = 0; i < BLOCKS; i++) {
    const block = (CHECKOUT * APART + i) % BLOCKS
    if (used.some((address) => isInBlock(address, block))) continue
    if (await claim(block)) return block
  }
  throw new Error(
    `all ${BLOCKS} blocks of addresses for a test internet are in use: see /run/sandlot-internet-*`,
  )
}

/** Addresses of package registries, and of the machine itself. */
async function usedAddresses(): Promise<string[]> {
  const own = (await ip('-o', '-4', 'addr')).matchAll(/inet ([\d.]+)/g)
  const lab = await labRegistries(REGISTRIES)
  return [...[...own].map(([, address]) => address!), ...lab.map((range) => range.split('/')[0]!)]
}

async function claim(block: number): Promise<boolean> {
  const isMade = () =>
    ip('netns', 'add', namespaceOf(block)).then(
      () => true,
      () => false,
    )
  if (!(await isMade())) {
    if (!(await isLeftBehind(block))) return false
    await releaseBlock(block)
    if (!(await isMade())) return false
  }
  await mkdir(folderOf(block), { recursive: true })
  await writeFile(join(folderOf(block), 'owner'), `${process.pid} ${await startOf(process.pid)}`)
  return true
}

async function isLeftBehind(block: number): Promise<boolean> {
  const owner = await readFile(join(folderOf(block), 'owner'), 'utf8').catch(() => undefined)
  if (owner !== undefined) {
    const [pid, start] = owner.split(' ')
    return (await startOf(Number(pid))) !== start
  }
  const made = await stat(`/run/netns/${namespaceOf(block)}`).catch(() => undefined)
  return made === undefined || Date.now() - made.mtimeMs > CLAIM_MS
}

/** When a process started, in ticks since boot; tells processes apart that had one id. */
async function startOf(pid: number): Promise<string> {
  const line = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return line.slice(line.lastIndexOf(')') + 2).split(' ')[19] ?? 'ended'
}

/** Ends what runs in the namespace of a block, and removes everything of the block from the machine. */
export async function releaseBlock(block: number): Promise<void> {
  const namespace = namespaceOf(block)
  const pids = await ip('netns', 'pids', namespace).catch(() => '')
  for (const pid of pids.split('\n').filter(Boolean)) {
    try {
      process.kill(Number(pid), 'SIGKILL')
    } catch {
      // it ended meanwhile
    }
  }
  await ip('link', 'del', namespace).catch(() => {})
  await nft(`delete table ip ${namespace}`).catch(() => {})
  await rm(join('/etc/netns', namespace), { recursive: true, force: true })
  await rm(folderOf(block), { recursive: true, force: true })
  await ip('netns', 'del', namespace).catch(() => {})
}
