import { rm, writeFile } from 'node:fs/promises'
import type { LiveMachine } from '../machines/machine.ts'
import { StalledMachines } from '../machines/stalled-machines.ts'
import type { Firewall } from './firewall.ts'

export interface NetworkGuardOptions {
  firewall: Pick<Firewall, 'examine' | 'install'>
  /** Says to other processes why machines stand still; there while they do. */
  faultFile: string
  /** Machines in which something runs. */
  running: () => Iterable<LiveMachine>
  freeze: (machine: LiveMachine) => Promise<void>
  thaw: (machine: LiveMachine) => Promise<void>
  onStalled: (machine: LiveMachine, reason: string | undefined) => void
  onFault: (reason: string) => void
  onMended: () => void
  onError: (error: unknown) => void
}

/**
 * Without the firewall's table nothing keeps machines apart but what each veth holds by itself: while it is gone or
 * changed by others, nothing starts and every machine stands still. It is installed again at once.
 */
export class NetworkGuard {
  readonly #options: NetworkGuardOptions
  readonly #stalled: StalledMachines
  #looking: Promise<void> | undefined
  #isDoubted = false
  /** People were told. */
  #isFaulty = false

  constructor(options: NetworkGuardOptions) {
    this.#options = options
    const { thaw, onStalled, onError } = options
    this.#stalled = new StalledMachines({
      ...{ thaw, onError },
      onGoing: (machine) => onStalled(machine, undefined),
    })
  }

  /** Called when something touched the table, and now and then. */
  look(): Promise<void> {
    this.#isDoubted = true
    this.#looking ??= this.#lookAll().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  /** For the caller that freezes a machine for good: it is not set going any more; unless `work` fails. */
  leave<T>(machine: LiveMachine, work: () => Promise<T>): Promise<T> {
    return this.#stalled.leave(machine, this.#looking, work)
  }

  async #lookAll(): Promise<void> {
    while (this.#isDoubted) {
      this.#isDoubted = false
      await this.#look()
    }
  }

  async #look(): Promise<void> {
    const { firewall, faultFile, onFault, onMended, onError } = this.#options
    const reason = await firewall.examine()
    if (reason) {
      if (!this.#isFaulty) onFault(reason)
      this.#isFaulty = true
      const standing = this.#standStill(reason)
      await writeFile(faultFile, reason).catch(onError)
      try {
        await firewall.install()
      } finally {
        await standing
      }
      this.#isFaulty = false
      await rm(faultFile, { force: true })
      onMended()
    }
    await this.#stalled.setGoing()
  }

  async #standStill(reason: string): Promise<void> {
    const { running, freeze, onStalled, onError } = this.#options
    await Promise.all(
      [...running()].map(async (machine) => {
        if (this.#stalled.isLeft(machine)) return
        this.#stalled.add(machine)
        await freeze(machine).then(() => onStalled(machine, reason), onError)
      }),
    )
  }
}
