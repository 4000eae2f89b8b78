import type { DirectoryEntry, GoneReason, SandboxDirectory } from '@sandlot/protocol/directory'
import type { LiveSandbox } from './sandbox.ts'

/** Every sandbox that is not killed, in memory: requests of the edge and lists never touch the database. */
export class SandboxRegistry implements SandboxDirectory {
  readonly #sandboxes = new Map<string, LiveSandbox>()
  readonly #byTeam = new Map<string, Map<string, LiveSandbox>>()
  readonly #entries = new Map<string, DirectoryEntry>()
  readonly #byMachine = new Map<string, string>()
  /** Sandboxes that count toward the team's concurrent sandboxes; paused ones do not. */
  readonly #placed = new Set<string>()
  readonly #countByTeam = new Map<string, number>()
  readonly #listeners = new Set<(sandboxId: string, reason: GoneReason) => void>()
  #wake: (sandboxId: string) => Promise<void> = async () => {}

  get(sandboxId: string): LiveSandbox | undefined {
    return this.#sandboxes.get(sandboxId)
  }

  all(): IterableIterator<LiveSandbox> {
    return this.#sandboxes.values()
  }

  ofTeam(teamId: string): Iterable<LiveSandbox> {
    return this.#byTeam.get(teamId)?.values() ?? []
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
    const ofTeam = this.#byTeam.get(sandbox.teamId) ?? new Map()
    this.#byTeam.set(sandbox.teamId, ofTeam.set(sandbox.sandboxId, sandbox))
    this.#byMachine.set(sandbox.machineId, sandbox.sandboxId)
    this.#place(sandbox, sandbox.state !== 'paused')
  }

  /** Replaces the run of a sandbox by another, after a resume or a rollback. */
  replace(sandbox: LiveSandbox, next: LiveSandbox): void {
    this.#byMachine.delete(sandbox.machineId)
    const { machineId, address, executionId, startedAtMs, endAtMs, checkpointId } = next
    Object.assign(sandbox, { machineId, address, executionId, startedAtMs, endAtMs, checkpointId })
    this.#byMachine.set(machineId, sandbox.sandboxId)
  }

  /** Lets the edge route to a running sandbox, and resume a paused one with `autoResume`. */
  show(sandbox: LiveSandbox): void {
    this.#place(sandbox, sandbox.state !== 'paused')
    this.#entries.set(sandbox.sandboxId, {
      sandboxId: sandbox.sandboxId,
      state: sandbox.state === 'running' ? 'running' : 'paused',
      wakesOnTraffic: sandbox.settings.autoResume === true,
      address: sandbox.address,
      envdAccessToken: sandbox.envdAccessToken,
      trafficAccessToken: sandbox.settings.trafficAccessToken,
      maskRequestHost: sandbox.settings.maskRequestHost,
      httpsPorts: sandbox.settings.network?.httpsPorts,
    })
  }

  /** Marks a sandbox as being paused: the edge ends the sandbox's streams now, and may already ask to resume it. */
  suspend(sandbox: LiveSandbox): void {
    this.hide(sandbox.sandboxId, 'paused')
    this.show(sandbox)
  }

  /** Hides a sandbox from the edge, which ends the streams now, even while the machine is still stopping. */
  hide(sandboxId: string, reason: GoneReason): void {
    if (!this.#entries.delete(sandboxId)) return
    for (const listener of this.#listeners) listener(sandboxId, reason)
  }

  remove(sandboxId: string): void {
    const sandbox = this.#sandboxes.get(sandboxId)
    if (!sandbox) return
    this.hide(sandboxId, 'ended')
    this.#sandboxes.delete(sandboxId)
    const ofTeam = this.#byTeam.get(sandbox.teamId)
    ofTeam?.delete(sandboxId)
    if (ofTeam?.size === 0) this.#byTeam.delete(sandbox.teamId)
    this.#byMachine.delete(sandbox.machineId)
    this.#place(sandbox, false)
  }

  find(sandboxId: string): DirectoryEntry | undefined {
    return this.#entries.get(sandboxId)
  }

  reachable(): Iterable<DirectoryEntry> {
    return this.#entries.values()
  }

  onGone(listener: (sandboxId: string, reason: GoneReason) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  wake(sandboxId: string): Promise<void> {
    return this.#wake(sandboxId)
  }

  /** @param wake called when traffic arrives for a paused sandbox (`auto-resume.ts`) */
  onWake(wake: (sandboxId: string) => Promise<void>): void {
    this.#wake = wake
  }

  #place({ sandboxId, teamId }: LiveSandbox, takesPlace: boolean): void {
    if (takesPlace === this.#placed.has(sandboxId)) return
    if (takesPlace) this.#placed.add(sandboxId)
    else this.#placed.delete(sandboxId)
    const count = this.countOf(teamId) + (takesPlace ? 1 : -1)
    if (count > 0) this.#countByTeam.set(teamId, count)
    else this.#countByTeam.delete(teamId)
  }
}
