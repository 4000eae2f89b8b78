import type { DirectoryEntry, SandboxDirectory } from '../directory.ts'
import type { LiveSandbox } from './sandbox.ts'

/** Every sandbox that is not killed, in memory: requests of the edge and lists never touch the database. */
export class SandboxRegistry implements SandboxDirectory {
  readonly #sandboxes = new Map<string, LiveSandbox>()
  readonly #entries = new Map<string, DirectoryEntry>()
  readonly #byMachine = new Map<string, string>()
  readonly #countByTeam = new Map<string, number>()
  readonly #listeners = new Set<(sandboxId: string) => void>()

  get(sandboxId: string): LiveSandbox | undefined {
    return this.#sandboxes.get(sandboxId)
  }

  all(): IterableIterator<LiveSandbox> {
    return this.#sandboxes.values()
  }

  byMachine(machineId: string): LiveSandbox | undefined {
    const sandboxId = this.#byMachine.get(machineId)
    return sandboxId === undefined ? undefined : this.#sandboxes.get(sandboxId)
  }

  countOf(teamId: string): number {
    return this.#countByTeam.get(teamId) ?? 0
  }

  add(sandbox: LiveSandbox): void {
    this.#sandboxes.set(sandbox.sandboxId, sandbox)
    this.#byMachine.set(sandbox.machineId, sandbox.sandboxId)
    this.#countByTeam.set(sandbox.teamId, this.countOf(sandbox.teamId) + 1)
  }

  /** From now on the edge routes to it. */
  show(sandbox: LiveSandbox): void {
    this.#entries.set(sandbox.sandboxId, {
      sandboxId: sandbox.sandboxId,
      state: 'running',
      address: sandbox.address,
      envdAccessToken: sandbox.envdAccessToken,
      trafficAccessToken: sandbox.settings.trafficAccessToken,
      maskRequestHost: sandbox.settings.maskRequestHost,
    })
  }

  /** The edge breaks its streams now, even while the machine is still dying. */
  hide(sandboxId: string): void {
    if (!this.#entries.delete(sandboxId)) return
    for (const listener of this.#listeners) listener(sandboxId)
  }

  remove(sandboxId: string): void {
    const sandbox = this.#sandboxes.get(sandboxId)
    if (!sandbox) return
    this.hide(sandboxId)
    this.#sandboxes.delete(sandboxId)
    this.#byMachine.delete(sandbox.machineId)
    const count = this.countOf(sandbox.teamId) - 1
    if (count > 0) this.#countByTeam.set(sandbox.teamId, count)
    else this.#countByTeam.delete(sandbox.teamId)
  }

  find(sandboxId: string): DirectoryEntry | undefined {
    return this.#entries.get(sandboxId)
  }

  running(): Iterable<DirectoryEntry> {
    return this.#entries.values()
  }

  onGone(listener: (sandboxId: string) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}
