import { SandlotError } from '@sandlot/protocol'

/**
 * What the server process that joined last was given and has saved: its rows may not say so yet, so that a later join of
 * the same process leaves it alone.
 */
export class Session {
  #id: string | undefined
  /** Machines of sandboxes; by machine id, the session that has it. */
  readonly #machines = new Map<string, string | undefined>()
  readonly #checkpoints = new Set<string>()
  readonly #saving = new Set<Promise<unknown>>()

  get id(): string | undefined {
    return this.#id
  }

  /** From now on another process counts. What the one before saved counts by its rows alone. */
  begin(id: string): void {
    if (id === this.#id) return
    this.#id = id
    this.#checkpoints.clear()
  }

  /** @param id session that asked for the machine @throws SandlotError conflict: another process has joined meanwhile */
  checkStill(id: string | undefined): void {
    if (id !== this.#id)
      throw new SandlotError('conflict', 'another control plane has joined this node meanwhile')
  }

  /** @param isListed false: no row lists the machine, and no session was given it */
  addMachine(machineId: string, isListed = true): void {
    this.#machines.set(machineId, isListed ? this.#id : undefined)
  }

  forgetMachine(machineId: string): void {
    this.#machines.delete(machineId)
  }

  /** Machines that run sandboxes, whoever was given them. */
  machineIds(): string[] {
    return [...this.#machines.keys()]
  }

  hasMachine(machineId: string): boolean {
    const id = this.#machines.get(machineId)
    return id !== undefined && id === this.#id
  }

  /** Runs a save; the checkpoint counts as this session's from now on. */
  async saving<T>(checkpointId: string, save: () => Promise<T>): Promise<T> {
    this.#checkpoints.add(checkpointId)
    const working = save()
    this.#saving.add(working)
    try {
      return await working
    } catch (error) {
      this.#checkpoints.delete(checkpointId)
      throw error
    } finally {
      this.#saving.delete(working)
    }
  }

  addCheckpoint(checkpointId: string): void {
    this.#checkpoints.add(checkpointId)
  }

  hasCheckpoint(checkpointId: string): boolean {
    return this.#checkpoints.has(checkpointId)
  }

  forgetCheckpoint(checkpointId: string): void {
    this.#checkpoints.delete(checkpointId)
  }

  /** Waits for the saves that are under way. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#saving)
  }
}
