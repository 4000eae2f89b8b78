import { SandlotError } from '@sandlot/protocol'
import { type MockInstance, vi } from 'vitest'
import { CheckpointRepository } from '../checkpoints/repository.ts'
import { SandboxRepository } from '../sandboxes/repository.ts'
import { TemplateRepository } from '../templates/repository.ts'

/** What a database does with a write: nothing, and it says so; or it loses the answer after or before it has written. */
export const FAULTS = ['refused', 'done without an answer', 'not done and without an answer'] as const
export type Fault = (typeof FAULTS)[number]

const repositories = {
  sandboxes: SandboxRepository.prototype,
  checkpoints: CheckpointRepository.prototype,
  templates: TemplateRepository.prototype,
}

/** A write of a repository, such as `sandboxes.setResumed`. */
export type Write = `${keyof typeof repositories}.${string}`

type Method = (this: unknown, ...args: unknown[]) => Promise<unknown>

/** Lets one write of the servers in this process fail; `restore` ends that. */
export class DatabaseFaults {
  readonly #spies: MockInstance[] = []
  /** Whether the database refuses everything from now on. */
  isAway = false
  #next: { write: Write; fault: Fault; isLast: boolean } | undefined

  constructor() {
    for (const [name, prototype] of Object.entries(repositories))
      for (const method of Object.getOwnPropertyNames(prototype))
        if (method !== 'constructor') this.#watch(name as keyof typeof repositories, prototype, method)
  }

  /** @param isLast the database is away from then on */
  failNext(write: Write, fault: Fault, { isLast = false } = {}): void {
    this.#next = { write, fault, isLast }
  }

  /** Whether the fault of `failNext` has happened. */
  get hasFailed(): boolean {
    return this.#next === undefined
  }

  restore(): void {
    for (const spy of this.#spies) spy.mockRestore()
  }

  #watch(name: keyof typeof repositories, prototype: object, method: string): void {
    const methods = prototype as Record<string, Method>
    const original = methods[method]!
    const write: Write = `${name}.${method}`
    const call = (repository: unknown, args: unknown[]) =>
      this.#call(write, () => original.apply(repository, args))
    const spy = vi.spyOn(methods, method).mockImplementation(function (this: unknown, ...args) {
      return call(this, args)
    })
    this.#spies.push(spy)
  }

  async #call(write: Write, work: () => Promise<unknown>): Promise<unknown> {
    if (this.isAway) throw unavailable(false)
    if (this.#next?.write !== write) return work()
    const { fault, isLast } = this.#next
    this.#next = undefined
    this.isAway = isLast
    if (fault === 'done without an answer') await work()
    throw unavailable(fault !== 'refused')
  }
}

const unavailable = (mayHaveActed: boolean): SandlotError =>
  new SandlotError('store_unavailable', 'the database does not answer', { mayHaveActed })
