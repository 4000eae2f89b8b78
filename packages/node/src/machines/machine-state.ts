/**
 * Phase in the life of a machine:
 * - `starting`: has a folder and a slot; the kernel is absent, prepared or being restored
 * - `warm`: ready for a sandbox, processes run
 * - `parked`: ready for a sandbox, frozen until one claims it
 * - `running`: belongs to a sandbox or a build, processes run
 * - `frozen`: belongs to a sandbox or a build, frozen because it is paused, being paused or unlisted
 * - `stalled`: belongs to a sandbox, frozen by a guard, which thaws it when the reason is gone
 * - `ending`: being stopped on purpose: its exit is not reported
 */
export type MachinePhase = 'starting' | 'warm' | 'parked' | 'running' | 'frozen' | 'stalled' | 'ending'

const LEGAL_CHANGES: Record<MachinePhase, readonly MachinePhase[]> = {
  starting: ['warm', 'parked', 'ending'],
  warm: ['running', 'ending'],
  parked: ['frozen', 'ending'],
  running: ['frozen', 'stalled', 'ending'],
  frozen: ['running', 'stalled', 'ending'],
  stalled: ['running', 'frozen', 'ending'],
  ending: ['ending'],
}

/** A phase and the changes that it allows. */
export class MachineState {
  #phase: MachinePhase

  constructor(phase: MachinePhase = 'starting') {
    this.#phase = phase
  }

  get phase(): MachinePhase {
    return this.#phase
  }

  /** @throws Error when the change is illegal, which is a fault of the caller */
  change(to: MachinePhase): void {
    if (!this.allows(to)) throw new Error(`a machine that is ${this.#phase} cannot become ${to}`)
    this.#phase = to
  }

  allows(to: MachinePhase): boolean {
    return LEGAL_CHANGES[this.#phase].includes(to)
  }

  /** Whether no sandbox or build owns the machine yet. */
  get isWarm(): boolean {
    return this.#phase === 'starting' || this.#phase === 'warm' || this.#phase === 'parked'
  }

  /** Whether all processes inside are frozen, until one thaw. */
  get isFrozen(): boolean {
    return this.#phase === 'parked' || this.#phase === 'frozen' || this.#phase === 'stalled'
  }

  get isRunning(): boolean {
    return this.#phase === 'running'
  }

  get isStalled(): boolean {
    return this.#phase === 'stalled'
  }

  get isEnding(): boolean {
    return this.#phase === 'ending'
  }
}
