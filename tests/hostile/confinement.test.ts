import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
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

/** What runsc keeps: the sentry to trace its stubs and (directfs) to open files of any owner, the gofer to serve them. */
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

  test('they are not root, or root of a user namespace of their own only', () => {
    for (const { pid, kind, status } of processes) {
      const isRoot = status.get('Uid')!.split(/\s+/).includes('0')
      const hasOwnUsers = readlinkSync(`/proc/${pid}/ns/user`) !== readlinkSync('/proc/self/ns/user')
      expect(!isRoot || hasOwnUsers, `${kind} ${pid}: Uid ${status.get('Uid')}`).toBe(true)
    }
  })

  test('they have no capability that runsc does not need', () => {
    for (const { pid, kind, status } of processes) {
      for (const set of ['CapEff', 'CapPrm', 'CapInh', 'CapAmb']) {
        const excess = BigInt(`0x${status.get(set)}`) & ~NEEDED[kind]
        expect(excess.toString(16), `${set} of ${kind} ${pid}`).toBe('0')
      }
    }
  })

  test('their system calls are filtered', async () => {
    for (const { pid, kind } of processes) {
      // One that the warm pool has just started installs its filter when it is set up.
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
