import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { promisify } from 'node:util'
import { namesFor } from '@sandlot/node/instance-names'
import { parseAddressRange } from '@sandlot/node/network/address-range'
import type { ServerInfo } from '../server.ts'

const run = promisify(execFile)
const TIMEOUT_MS = 300_000

/** Runs a command and returns what it printed. */
export type Runner = (...command: string[]) => Promise<string>

/**
 * The network slot of a sandbox, without gVisor: whoever works in it has the interface, address and rules of the sandbox,
 * as a sentry would have that was taken over.
 */
export class Slot {
  readonly address: string
  readonly gateway: string
  readonly #namespace: string
  readonly #pid: number

  constructor({ home, networkRange }: ServerInfo, sandboxId: string) {
    const database = new DatabaseSync(join(home, 'db.sqlite'), { readOnly: true })
    const row = database.prepare('select machine_id from sandboxes where id = ?').get(sandboxId)
    database.close()
    const machineId = String(row?.machine_id)
    const record = JSON.parse(readFileSync(join(home, 'run/machines', machineId, 'machine.json'), 'utf8'))
    const { sandbox, gateway } = parseAddressRange(networkRange).slot(record.slot)
    this.address = sandbox
    this.gateway = gateway
    this.#namespace = `${namesFor(home).netnsPrefix}${record.slot}`
    this.#pid = pidOf(machineId)
  }

  /** Stops the sandbox and gives its address to the namespace, for as long as the work takes. */
  async use<T>(work: (inside: Runner) => Promise<T>): Promise<T> {
    const ip = (...args: string[]) => run('ip', ['-n', this.#namespace, ...args])
    process.kill(this.#pid, 'SIGSTOP')
    try {
      await ip('addr', 'add', `${this.address}/30`, 'dev', 'eth0')
      await ip('route', 'add', 'default', 'via', this.gateway)
      return await work(async (...command) => {
        const args = ['netns', 'exec', this.#namespace, ...command]
        return (await run('ip', args, { timeout: TIMEOUT_MS, maxBuffer: 2 ** 26 })).stdout
      })
    } finally {
      await ip('addr', 'flush', 'dev', 'eth0')
      process.kill(this.#pid, 'SIGCONT')
    }
  }
}

/** The process of gVisor that answers for a machine. */
function pidOf(machineId: string): number {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const command = commandOf(pid)
    if (command.startsWith('runsc-sandbox') && command.includes(`/machines/${machineId}/`)) return Number(pid)
  }
  throw new Error(`machine ${machineId} has no process`)
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}
