import { rm, writeFile } from 'node:fs/promises'
import type { LiveMachine } from '../machines/machine.ts'
import { StalledMachines } from '../machines/stalled-machines.ts'
import type { Firewall } from './firewall.ts'

export interface NetworkGuardOptions {
  firewall: Pick<Firewall, 'examine' | 'install'>
  /** File that tells other processes why machines are stalled; exists while machines are stalled. */
  faultFile: string
  /** Machines of sandboxes and builds that are not frozen. */
  running: () => Iterable<LiveMachine>
  stall: (machine: LiveMachine) => Promise<void>
  thaw: (machine: LiveMachine) => Promise<void>
  onStalled: (machine: LiveMachine, reason: string | undefined) => void
  onFault: (reason: string) => void
  onMended: () => void
  onError: (error: unknown) => void
}

/**
 * Stalls every machine, and lets none start, while the firewall's table is gone or changed by another program, because
 * then only the filters on each veth isolate machines. The table is installed again at once.
 */
export class NetworkGuard {
  readonly #options: NetworkGuardOptions
  readonly #stalled: StalledMachines
  #looking: Promise<void> | undefined
  #isDirty = false
  /** Whether another program has changed ranges of policies since the last examination. */
  #isTouched = false
  /** Whether the fault has been reported. */
  #isFaulty = false

  constructor(options: NetworkGuardOptions) {
    this.#options = options
    const { stall, thaw, onStalled, onError } = options
    const onThawed = (machine: LiveMachine) => onStalled(machine, undefined)
    this.#stalled = new StalledMachines({ stall, thaw, onThawed, onError })
  }

  /**
   * Examines the table; called when another program has changed it, and periodically.
   * @param isTouched whether another program has changed ranges of policies
   */
  look(isTouched = false): Promise<void> {
    this.#isDirty = true
    this.#isTouched ||= isTouched
    this.#looking ??= this.#lookAll().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  /** Releases a machine to a caller that freezes it permanently: it is not thawed here unless `work` fails. */
  release<T>(machine: LiveMachine, work: () => Promise<T>): Promise<T> {
    return this.#stalled.release(machine, this.#looking, work)
  }

  async #lookAll(): Promise<void> {
    while (this.#isDirty) {
      this.#isDirty = false
      await this.#look()
    }
  }

  async #look(): Promise<void> {
    const { firewall, faultFile, onFault, onMended, onError } = this.#options
    const isTouched = this.#isTouched
    this.#isTouched = false
    const reason = await firewall.examine(isTouched)
    if (reason) {
      if (!this.#isFaulty) onFault(reason)
      this.#isFaulty = true
      const stalling = this.#stallAll(reason)
      await writeFile(faultFile, reason).catch(onError)
      try {
        await firewall.install()
      } finally {
        await stalling
      }
      this.#isFaulty = false
      await rm(faultFile, { force: true })
      onMended()
    }
    await this.#stalled.thawAll()
  }

  async #stallAll(reason: string): Promise<void> {
    const { running, onStalled, onError } = this.#options
    await Promise.all(
      [...running()].map(async (machine) => {
        if (this.#stalled.isReleased(machine)) return
        await this.#stalled.stall(machine).then(() => onStalled(machine, reason), onError)
      }),
    )
  }
}
