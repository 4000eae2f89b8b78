import type { LiveMachine } from '../machines/machine.ts'

export interface FrozenMachinesOptions {
  /** How long to keep a frozen machine; 0: only until its files are saved. */
  keepMs: number
  end: (machineId: string) => Promise<void>
  onError: (error: unknown) => void
  now?: () => number
}

/**
 * Delay before the files are saved, so that an immediate resume is not slowed down; only a resume without memory needs
 * the files.
 */
const SAVE_DELAY_MS = 1_000

/** Files of a checkpoint that are still to be saved from its machine. */
export interface PendingFiles {
  /** Called a second after the pause; the machine is kept until `save` has ended. */
  save: () => Promise<void>
  /** Called when the machine is gone before `save` has succeeded, so that the checkpoint contains only the memory. */
  onDropped: () => void
}

interface Held {
  machine: LiveMachine
  sinceMs: number
  saving: NodeJS.Timeout
  /** Saves the files; concurrent callers share one run, which is repeated only after a failure. */
  save: () => Promise<void>
  /** Whether the file system is still to be saved from the machine. */
  isNeeded: boolean
  /** Called when the machine is no longer kept here. */
  release: () => void
}

/**
 * Frozen machines of paused sandboxes, so that a resume soon after the pause is a thaw. The checkpoints are on disk, so
 * ending a machine loses no data; the oldest are ended first, by age and when memory or slots run short.
 */
export class FrozenMachines {
  readonly #options: FrozenMachinesOptions
  readonly #now: () => number
  /** Kept machines, in order of their pauses. */
  readonly #held = new Map<string, Held>()

  constructor(options: FrozenMachinesOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
  }

  get size(): number {
    return this.#held.size
  }

  has(machineId: string): boolean {
    return this.#held.has(machineId)
  }

  hold(machine: LiveMachine, { save, onDropped }: PendingFiles): void {
    const { keepMs, onError } = this.#options
    let saved: Promise<void> | undefined
    let isHeld = true
    const saveOnce = () => {
      saved ??= save()
        .catch((error) => {
          saved = undefined
          if (!isHeld) onDropped()
          throw error
        })
        .finally(() => {
          held.isNeeded = false
        })
      return saved
    }
    const saving = setTimeout(
      () =>
        saveOnce()
          .catch(onError)
          .finally(() => {
            if (keepMs === 0) this.dropOld()
          }),
      Math.min(SAVE_DELAY_MS, keepMs / 2),
    )
    const release = () => {
      isHeld = false
      clearTimeout(saving)
      if (!saved) onDropped()
    }
    const sinceMs = this.#now()
    const held: Held = { machine, sinceMs, saving, save: saveOnce, isNeeded: true, release }
    this.#held.set(machine.machineId, held)
  }

  /** Saves the pending files of a machine now, for a resume without the memory. */
  async saveFiles(machineId: string): Promise<void> {
    await this.#held.get(machineId)?.save()
  }

  /** Hands a machine to a caller that resumes or ends it. */
  claim(machineId: string): LiveMachine | undefined {
    const held = this.#held.get(machineId)
    if (!held) return undefined
    this.#held.delete(machineId)
    held.release()
    return held.machine
  }

  /** Ends machines that are too old; called periodically. */
  dropOld(): void {
    for (const [machineId, { sinceMs, isNeeded }] of this.#held) {
      if (this.#now() - sinceMs < this.#options.keepMs) return
      if (!isNeeded) this.#drop(machineId)
    }
  }

  /** Ends the oldest machine that is not needed. @returns false when there is no such machine */
  async dropOldest(): Promise<boolean> {
    for (const [machineId, { isNeeded }] of this.#held) {
      if (isNeeded) continue
      await this.#drop(machineId)
      return true
    }
    return false
  }

  /** Keeps the machines for the next start. */
  close(): void {
    for (const { saving } of this.#held.values()) clearTimeout(saving)
  }

  #drop(machineId: string): Promise<void> {
    this.#held.get(machineId)?.release()
    this.#held.delete(machineId)
    return this.#options.end(machineId).catch(this.#options.onError)
  }
}
