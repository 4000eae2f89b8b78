import { type ConnectionOpts, Sandbox } from 'e2b-official'
import { expect } from 'vitest'
import { connectionTo, sandboxUrlOf, type TestServer } from '../server.ts'
import { leaks, takeInventory } from './inventory.ts'
import { type Account, askWitness, startWitness } from './witness.ts'

/** Long enough that nothing ends by its deadline during a test. */
const LIFE_SECONDS = 3_000
const SETTLE = { timeout: 45_000, interval: 250 }

/** A sandbox with a witness in it, and the witness's last report. */
export interface Subject {
  sandboxId: string
  account: Account
  /** An earlier checkpoint of the sandbox, and how far its witness had counted by then. */
  checkpointId?: string
  savedCount?: number
}

export interface LifecycleEvent {
  type: string
  event_data: Record<string, unknown> | null
}

/** What a test does to a server's sandboxes, and what must be true of them afterwards. */
export class Proving {
  readonly #server: TestServer

  constructor(server: TestServer) {
    this.#server = server
  }

  get options(): ConnectionOpts {
    return { ...connectionTo(this.#server.info()), requestTimeoutMs: 60_000 }
  }

  get sandboxUrl(): string {
    return sandboxUrlOf(this.#server.info().domain)
  }

  call(method: string, path: string, body?: unknown, timeoutMs = 90_000): Promise<Response> {
    return fetch(`${this.options.apiUrl}${path}`, {
      method,
      headers: { 'x-api-key': String(this.options.apiKey), 'content-type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(timeoutMs),
    })
  }

  async read<T>(path: string): Promise<T> {
    const response = await this.call('GET', path)
    if (response.status !== 200) throw new Error(`${path}: ${response.status} ${await response.text()}`)
    return (await response.json()) as T
  }

  async begin(seed: number, sizeMiB?: number): Promise<Subject> {
    const lifecycle = { onTimeout: 'pause' as const }
    const sandbox = await Sandbox.create({
      ...this.options,
      timeoutMs: LIFE_SECONDS * 1000,
      lifecycle,
      metadata: { seed: String(seed) },
    })
    const account = await startWitness(sandbox, this.sandboxUrl, { seed, sizeMiB })
    return { sandboxId: sandbox.sandboxId, account }
  }

  events = (sandboxId: string) => this.read<LifecycleEvent[]>(`/events/sandboxes/${sandboxId}`)

  running = () => this.read<Array<{ sandboxID: string }>>('/v2/sandboxes?state=running&limit=100')

  /** Machines that take memory: of running sandboxes, and of paused ones that are still frozen. */
  machines = async () => {
    const { machines, warm } = await takeInventory(this.#server.info().home)
    return machines.filter((id) => !warm.includes(id))
  }

  /**
   * Brings a sandbox back to life, whatever was done to it.
   * @returns its witness's report; undefined when the sandbox is gone and its log says why
   */
  async revive({ sandboxId, account }: Subject): Promise<Account | undefined> {
    let told: Account | undefined
    await expect
      .poll(async () => {
        const { status } = await this.call('POST', `/sandboxes/${sandboxId}/connect`, {
          timeout: LIFE_SECONDS,
        })
        if (status !== 200 && status !== 201) return status
        told = await askWitness(this.sandboxUrl, sandboxId).catch(() => undefined)
        return told ? 'alive' : 'silent'
      }, SETTLE)
      .toBeOneOf(['alive', 404])
    const [last] = await this.events(sandboxId)
    if (!told) {
      expect(last?.type).toBe('sandbox.lifecycle.killed')
      expect(last?.event_data?.kill_reason).toMatch(/^(exited: .+|lost|request)$/)
      return undefined
    }
    expect(['sandbox.lifecycle.paused', 'sandbox.lifecycle.killed']).not.toContain(last?.type)
    expect({ pid: told.pid, memory: told.memory, file: told.file }).toEqual({
      pid: account.pid,
      memory: account.memory,
      file: account.file,
    })
    return told
  }

  /** Checks that exactly the listed sandboxes run, and that nothing else was left behind. */
  async expectNoLeaks(): Promise<void> {
    await expect
      .poll(
        async () => leaks(await takeInventory(this.#server.info().home), (await this.running()).length),
        SETTLE,
      )
      .toEqual([])
  }

  async killAll(): Promise<void> {
    const all = await this.read<Array<{ sandboxID: string }>>('/v2/sandboxes?limit=100')
    for (const { sandboxID } of all) await this.call('DELETE', `/sandboxes/${sandboxID}`)
    for (const { snapshotID } of await this.read<Array<{ snapshotID: string }>>('/snapshots'))
      await this.call('DELETE', `/templates/${encodeURIComponent(snapshotID)}`)
  }
}
