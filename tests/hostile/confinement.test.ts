import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Sandbox } from 'e2b-official'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { guest, server } from './guest.ts'

/** Bits of linux/capability.h. */
const CAPABILITIES = {
  CHOWN: 0,
  DAC_OVERRIDE: 1,
  DAC_READ_SEARCH: 2,
  FOWNER: 3,
  FSETID: 4,
  SETGID: 6,
  SETUID: 7,
  SYS_CHROOT: 18,
  SYS_PTRACE: 19,
} as const

const maskOf = (names: readonly (keyof typeof CAPABILITIES)[]): bigint =>
  names.reduce((mask, name) => mask | (1n << BigInt(CAPABILITIES[name])), 0n)

/** Capabilities that runsc keeps: the sentry to trace its stubs and (directfs) to open files of any owner, the gofer to serve them. */
const NEEDED = {
  sentry: maskOf(['SYS_PTRACE', 'CHOWN', 'DAC_OVERRIDE', 'DAC_READ_SEARCH', 'FOWNER', 'FSETID']),
  gofer: maskOf([
    'CHOWN',
    'DAC_OVERRIDE',
    'DAC_READ_SEARCH',
    'FOWNER',
    'FSETID',
    'SETGID',
    'SETUID',
    'SYS_CHROOT',
  ]),
}

interface HostProcess {
  pid: number
  kind: keyof typeof NEEDED
  status: Map<string, string>
}

const statusOf = (pid: string): Map<string, string> =>
  new Map(
    readFileSync(`/proc/${pid}/status`, 'utf8')
      .split('\n')
      .map((line) => {
        const [name, value] = line.split(':\t')
        return [name!, value?.trim() ?? ''] as const
      }),
  )

interface Kernel {
  sentry: HostProcess
  gofer: HostProcess
  uid: number
}

const uidsOf = ({ status }: HostProcess): number[] => status.get('Uid')!.split(/\s+/).map(Number)

/** By machine: runsc puts the machine's id last on both command lines. */
function kernelsByMachine(): Map<string, Kernel> {
  const kernels = new Map<string, Partial<Kernel>>()
  for (const found of kernelProcesses()) {
    const machineId = readFileSync(`/proc/${found.pid}/cmdline`, 'utf8').match(/\b[0-9a-f]{16}\b/)?.[0] ?? ''
    kernels.set(machineId, { ...kernels.get(machineId), [found.kind]: found, uid: uidsOf(found)[0] })
  }
  return kernels as Map<string, Kernel>
}

/** Sentries and gofers of the server under test, found by their command line. */
function kernelProcesses(): HostProcess[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid): HostProcess[] => {
      try {
        const [program = '', ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
        const kind = /^runsc-(sandbox|gofer)$/.exec(program)?.[1]
        if (!kind || !args.some((arg) => arg.includes(server.home))) return []
        return [{ pid: Number(pid), kind: kind === 'gofer' ? 'gofer' : 'sentry', status: statusOf(pid) }]
      } catch {
        return []
      }
    })
}

/** Runs a program on the host with the ids and capabilities of a sandbox's kernel, but none of the other walls. */
const succeedsInside = (pid: number, ...command: string[]): boolean =>
  spawnSync(
    'nsenter',
    ['--user', '--setuid', '0', '--setgid', '0', '--target', String(pid), '--', ...command],
    { timeout: 10_000, stdio: 'ignore' },
  ).status === 0

/** Files of a paused sandbox on disk. */
async function savedFiles(): Promise<{ checkpoints: string[] }> {
  const paused = await Sandbox.create({ timeoutMs: 60_000 })
  await paused.pause()
  const folder = join(server.home, 'checkpoints')
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
  const checkpoints = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
  expect(checkpoints.some((path) => path.endsWith('.img'))).toBe(true)
  return { checkpoints }
}

describe('on the host', () => {
  const sandbox = guest()
  let processes: HostProcess[]

  beforeAll(async () => {
    await sandbox().commands.run('true')
    processes = kernelProcesses()
  })

  test('the sentry and the gofer of each sandbox are found', () => {
    expect(processes.filter(({ kind }) => kind === 'sentry').length).toBeGreaterThan(0)
    expect(processes.filter(({ kind }) => kind === 'gofer').length).toBeGreaterThan(0)
  })

  test('sentry and gofer of one sandbox have a host id of their own, which is never root', () => {
    const kernels = [...kernelsByMachine()].filter(([, { sentry, gofer }]) => sentry && gofer)
    const owners = new Map<number, string>()
    for (const [machineId, { sentry, gofer, uid }] of kernels) {
      for (const { pid, kind, status } of [sentry, gofer])
        for (const ids of ['Uid', 'Gid'])
          expect(status.get(ids)!.split(/\s+/), `${ids} of ${kind} ${pid}`).toEqual(
            Array(4).fill(String(uid)),
          )
      expect(uid, machineId).toBeGreaterThanOrEqual(0x7000_0000)
      expect(owners.get(uid), `${machineId} shares user ${uid}`).toBeUndefined()
      owners.set(uid, machineId)
    }
    expect(owners.size).toBeGreaterThan(1)
  })

  test('a sentry that left its root folder, with all capabilities of its user namespace, reaches nothing of another sandbox or of the server', async () => {
    const { checkpoints } = await savedFiles()
    const [attacker, victim] = [...kernelsByMachine().values()].filter(({ sentry, gofer }) => sentry && gofer)
    const victimPid = victim!.sentry.pid
    const filestore = readdirSync(`/proc/${victimPid}/fd`).find((fd) =>
      readlinkSync(`/proc/${victimPid}/fd/${fd}`).includes('/runsc-filestore-'),
    )
    const targets = [
      ...checkpoints,
      `/proc/${victimPid}/fd/${filestore}`,
      `/proc/${victimPid}/mem`,
      ...['db.sqlite', 'env', 'ca/ca.key'].map((file) => `${server.home}/${file}`),
    ]
    for (const target of targets) expect(existsSync(target), target).toBe(true)
    const opened = targets.filter((target) => succeedsInside(attacker!.sentry.pid, 'head', '-c1', target))
    expect(opened).toEqual([])
    expect(succeedsInside(attacker!.sentry.pid, 'kill', '-0', String(victimPid))).toBe(false)
  })

  test('they have no capability that runsc does not need', async () => {
    for (const { pid, kind } of processes) {
      // A sentry that the warm pool has just started drops them during its set-up.
      await vi.waitFor(() => {
        const status = statusOf(String(pid))
        for (const set of ['CapEff', 'CapPrm', 'CapInh', 'CapAmb']) {
          const excess = BigInt(`0x${status.get(set)}`) & ~NEEDED[kind]
          expect(excess.toString(16), `${set} of ${kind} ${pid}`).toBe('0')
        }
      }, 10_000)
    }
  })

  test('their system calls are filtered', async () => {
    for (const { pid, kind } of processes) {
      // A sentry that the warm pool has just started installs its filter during its set-up.
      await vi.waitFor(() => expect(statusOf(String(pid)).get('Seccomp'), `${kind} ${pid}`).toBe('2'), 10_000)
    }
  })

  test('the root they see is not the root of the host', () => {
    const host = statSync('/')
    for (const { pid, kind } of processes) {
      const own = statSync(`/proc/${pid}/root/`)
      expect(own.dev === host.dev && own.ino === host.ino, `${kind} ${pid}`).toBe(false)
      const seen = readdirSync(`/proc/${pid}/root/`)
      expect(seen, `${kind} ${pid}`).not.toEqual(expect.arrayContaining(['home', 'var']))
    }
  })

  test('they live in namespaces of their own', () => {
    for (const { pid, kind } of processes) {
      for (const namespace of ['mnt', 'net', 'ipc', 'pid']) {
        const own = readlinkSync(`/proc/${pid}/ns/${namespace}`)
        expect(own, `${namespace} of ${kind} ${pid}`).not.toBe(readlinkSync(`/proc/self/ns/${namespace}`))
      }
    }
  })

  test('they hold no socket or file of the server', () => {
    const serverSockets = new Set(
      readdirSync(`/proc/${server.pid}/fd`).flatMap((fd) => {
        try {
          return readlinkSync(`/proc/${server.pid}/fd/${fd}`).match(/^socket:\[\d+\]$/) ?? []
        } catch {
          return []
        }
      }),
    )
    for (const { pid, kind } of processes) {
      for (const fd of readdirSync(`/proc/${pid}/fd`)) {
        let target: string
        try {
          target = readlinkSync(`/proc/${pid}/fd/${fd}`)
        } catch {
          continue
        }
        expect(serverSockets.has(target), `${kind} ${pid} holds ${target}`).toBe(false)
        expect(target, `${kind} ${pid}`).not.toMatch(/db\.sqlite|\/ca\/|\/env$/)
      }
    }
  })
})
