import { SandlotError } from '@sandlot/protocol'

/**
 * Machines and checkpoints of the server process that joined last. Its rows may not list them yet, so a later join of the
 * same process leaves them alone.
 */
export class Session {
  #id: string | undefined
  /** Session of each machine with a sandbox, by machine id. */
  readonly #machines = new Map<string, string | undefined>()
  readonly #checkpoints = new Set<string>()
  readonly #saving = new Set<Promise<unknown>>()

  get id(): string | undefined {
    return this.#id
  }

  /** Begins the session of another process. Checkpoints that the former process saved are then only known from rows. */
  begin(id: string): void {
    if (id === this.#id) return
    this.#id = id
    this.#checkpoints.clear()
  }

  /** @param id session that requested the machine @throws SandlotError conflict when another process has joined meanwhile */
  checkStill(id: string | undefined): void {
    if (id !== this.#id)
      throw new SandlotError('conflict', 'another control plane has joined this node meanwhile')
  }

  /** @param isListed false when no row lists the machine: it belongs to no session */
  addMachine(machineId: string, isListed = true): void {
    this.#machines.set(machineId, isListed ? this.#id : undefined)
  }

  forgetMachine(machineId: string): void {
    this.#machines.delete(machineId)
  }

  /** Ids of all machines with a sandbox, of any session. */
  machineIds(): string[] {
    return [...this.#machines.keys()]
  }

  hasMachine(machineId: string): boolean {
    const id = this.#machines.get(machineId)
    return id !== undefined && id === this.#id
  }

  /** Runs a save of a checkpoint, which then belongs to this session. */
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

  /** Waits for running saves. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#saving)
  }
}
