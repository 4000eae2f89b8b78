import { SandlotError } from '@sandlot/protocol'
import type { SnapshotBuild } from '@sandlot/protocol/node'
import type { LiveMachine, MachineSource } from '../machines/machine.ts'
import type { CheckpointTiers } from './checkpoint-tiers.ts'
import { findReasonToRenew } from './compatibility.ts'
import type { Persistence } from './persistence.ts'

export interface StartableCheckpointsOptions {
  tiers: CheckpointTiers
  persistence: Pick<Persistence, 'sourceOf' | 'startVerifiedOnce'>
  engineVersion: string
  /** Boots a template again under the same checkpoint id. @param reason why its memory cannot or should not be used */
  renew: (checkpointId: string, reason: string) => Promise<void>
}

/**
 * Snapshots and templates that sandboxes can be started from. Their files are only read when a start needs them, so any
 * number is possible.
 */
export class StartableCheckpoints {
  readonly #options: StartableCheckpointsOptions
  readonly #builds = new Map<string, SnapshotBuild>()
  /** Preparations by build id. */
  readonly #prepared = new Map<string, Promise<void>>()

  constructor(options: StartableCheckpointsOptions) {
    this.#options = options
  }

  add(build: SnapshotBuild): void {
    this.#builds.set(build.buildId, build)
  }

  remove(buildId: string): void {
    this.#builds.delete(buildId)
    this.#prepared.delete(buildId)
  }

  has(buildId: string): boolean {
    return this.#builds.has(buildId)
  }

  /** Whether the build is a template, as opposed to a snapshot. */
  isTemplate(buildId: string): boolean {
    const build = this.#builds.get(buildId)
    return build !== undefined && build.sandboxId === undefined
  }

  /**
   * Boots a template again when its memory is incompatible or lacks what machines have now; concurrent callers share a run.
   * @throws SandlotError not_found, and why the boot failed; the next call retries
   */
  prepare(buildId: string): Promise<void> {
    let preparing = this.#prepared.get(buildId)
    if (!preparing) {
      preparing = this.#renewIncompatible(buildId).catch((error) => {
        this.#prepared.delete(buildId)
        throw error
      })
      this.#prepared.set(buildId, preparing)
    }
    return preparing
  }

  /** Prepares all templates one after the other, in the background. */
  async prepareTemplates(onError: (error: unknown) => void): Promise<void> {
    for (const buildId of [...this.#builds.keys()])
      if (this.isTemplate(buildId))
        await this.prepare(buildId).catch((error) => {
          // not an error when the build was deleted meanwhile
          if (this.has(buildId)) onError(error)
        })
  }

  /** @param start is called with the files unpacked @throws SandlotError checkpoint_damaged, and what `start` throws */
  async start(buildId: string, start: (source: MachineSource) => Promise<LiveMachine>): Promise<LiveMachine> {
    const { tiers, persistence } = this.#options
    const { checkpointId } = this.#find(buildId)
    return tiers.use(checkpointId, async () => {
      const { source } = await persistence.sourceOf(checkpointId, buildId, true)
      return persistence.startVerifiedOnce(source, () => start(source))
    })
  }

  async #renewIncompatible(buildId: string): Promise<void> {
    if (!this.isTemplate(buildId)) return
    const { tiers, engineVersion, renew } = this.#options
    const { checkpointId } = this.#find(buildId)
    const manifest = await tiers.describe(checkpointId)
    const reason = findReasonToRenew(manifest, engineVersion)
    if (manifest.template && reason) await renew(checkpointId, reason)
  }

  #find(buildId: string): SnapshotBuild {
    const build = this.#builds.get(buildId)
    if (!build) throw new SandlotError('not_found', `'${buildId}' was deleted`)
    return build
  }
}
