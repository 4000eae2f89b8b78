import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { promisify } from 'node:util'
import { namesFor } from '@sandlot/node/instance-names'

/** Everything on this machine that belongs to the instance of a home. */
export interface Inventory {
  machines: string[]
  /** Machines that belong to no sandbox yet. */
  warm: string[]
  /** Machines of paused sandboxes that are still held in memory. */
  frozen: string[]
  cgroups: string[]
  runscStates: string[]
  netns: string[]
  veths: string[]
  kernels: number
  /** Folders of checkpoints, also half-written ones; packed checkpoints; and those that the rows list. */
  checkpoints: string[]
  packed: string[]
  checkpointRows: string[]
  /** What no row names but is kept for a grace period. */
  unlisted: string[]
}

const names = (dir: string): string[] => (existsSync(dir) ? readdirSync(dir) : [])

/** @param checkpointRows ids in the database. Default: those in the SQLite file of the home */
export async function takeInventory(
  home: string,
  checkpointRows = () => Promise.resolve(rowsOf(home)),
): Promise<Inventory> {
  const { cgroup, netnsPrefix, vethPrefix } = namesFor(home)
  const machinesDir = join(home, 'run/machines')
  const machines = names(machinesDir)
  const cgroupRoot = existsSync('/sys/fs/cgroup/memory') ? '/sys/fs/cgroup/memory' : '/sys/fs/cgroup'
  const cgroups = names(join(cgroupRoot, cgroup)).filter((name) => /^[0-9a-f]{16}$/.test(name))
  const { stdout } = await promisify(execFile)('ip', ['-o', 'link', 'show', 'type', 'veth'], {
    timeout: 10_000,
  })
  const pids = cgroups.map((name) =>
    readFileSync(join(cgroupRoot, cgroup, name, 'cgroup.procs'), 'utf8').trim(),
  )
  const isMarked = (mark: string) => (id: string) => existsSync(join(machinesDir, id, mark))
  const warm = [...machines.filter(isMarked('warm')), ...machines.filter(isMarked('prepared'))]
  return {
    machines,
    warm,
    frozen: machines.filter(isMarked('frozen')).filter((id) => !warm.includes(id)),
    cgroups,
    runscStates: names(join(home, 'run/runsc')).filter((name) => name.endsWith('.state')),
    netns: names('/run/netns').filter((name) => name.startsWith(netnsPrefix)),
    veths: [...stdout.matchAll(/^\d+: ([^@:]+)/gm)]
      .map((match) => match[1]!)
      .filter((name) => name.startsWith(vethPrefix)),
    kernels: pids.filter(Boolean).length,
    checkpoints: names(join(home, 'checkpoints')),
    packed: names(join(home, 'packed/checkpoints')).map((name) => name.replace(/\.json$/, '')),
    checkpointRows: await checkpointRows(),
    unlisted: names(join(home, 'unlisted/checkpoints')).map((name) => name.replace(/\.json$/, '')),
  }
}

function rowsOf(home: string): string[] {
  const database = new DatabaseSync(join(home, 'db.sqlite'), { readOnly: true })
  try {
    return database
      .prepare('select id from checkpoints')
      .all()
      .map(({ id }) => String(id))
  } finally {
    database.close()
  }
}

/** Lists what is wrong in an inventory while `used` sandboxes run; empty when nothing leaked. */
export function leaks(inventory: Inventory, used: number): string[] {
  const { machines, warm, frozen, cgroups, runscStates, netns, veths, kernels } = inventory
  const { checkpoints, packed, checkpointRows, unlisted } = inventory
  const found: string[] = []
  const expect = (what: string, actual: number, wanted: number) => {
    if (actual !== wanted) found.push(`${what}: ${actual}, not ${wanted}`)
  }
  expect('machines in use', machines.length - warm.length - frozen.length, used)
  expect('cgroups', cgroups.length, machines.length)
  expect('kernels', kernels, machines.length)
  expect('runsc states', runscStates.length, machines.length)
  expect('veths', veths.length, netns.length)
  if (netns.length < machines.length)
    found.push(`namespaces: ${netns.length} for ${machines.length} machines`)
  const without = (some: string[], others: string[]) => some.filter((id) => !others.includes(id)).join(', ')
  const unknown = without([...checkpoints, ...packed], [...checkpointRows, ...unlisted])
  if (unknown) found.push(`checkpoints without a row or a mark: ${unknown}`)
  const lost = without(checkpointRows, [...checkpoints, ...packed])
  if (lost) found.push(`rows without a checkpoint: ${lost}`)
  return found
}
