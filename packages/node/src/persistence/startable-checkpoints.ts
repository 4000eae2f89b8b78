import { SandlotError } from '@sandlot/protocol'
import type { SnapshotBuild } from '@sandlot/protocol/node'
import type { LiveMachine, MachineSource } from '../machines/machine.ts'
import type { CheckpointTiers } from './checkpoint-tiers.ts'
import { findIncompatibility } from './compatibility.ts'
import type { Persistence } from './persistence.ts'

export interface SnapshotSourcesOptions {
  cold: CheckpointTiers
  persistence: Pick<Persistence, 'sourceOf' | 'startFromWhole'>
  engineVersion: string
  /** Brings a template up anew under the same checkpoint. @param misfit why its memory cannot be used */
  renew: (checkpointId: string, misfit: string) => Promise<void>
}

/**
 * What sandboxes are started from besides the base: snapshots and templates. Their files are looked at when someone
 * starts from them, so that there may be any number.
 */
export class StartableCheckpoints {
  readonly #options: SnapshotSourcesOptions
  readonly #builds = new Map<string, SnapshotBuild>()
  /** By build id. */
  readonly #prepared = new Map<string, Promise<void>>()

  constructor(options: SnapshotSourcesOptions) {
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

  /** It was built by steps, for anyone to start from. */
  isTemplate(buildId: string): boolean {
    const build = this.#builds.get(buildId)
    return build !== undefined && build.sandboxId === undefined
  }

  /**
   * Once for each: a template of another runsc, CPU or envd is brought up anew.
   * @throws SandlotError not_found, and why that failed; the next who asks tries again
   */
  prepare(buildId: string): Promise<void> {
    let preparing = this.#prepared.get(buildId)
    if (!preparing) {
      preparing = this.#renewMisfit(buildId).catch((error) => {
        this.#prepared.delete(buildId)
        throw error
      })
      this.#prepared.set(buildId, preparing)
    }
    return preparing
  }

  /** All templates, one after the other; nobody waits for it. */
  async prepareTemplates(onError: (error: unknown) => void): Promise<void> {
    for (const buildId of [...this.#builds.keys()])
      if (this.isTemplate(buildId))
        await this.prepare(buildId).catch((error) => {
          // it may have been deleted meanwhile
          if (this.has(buildId)) onError(error)
        })
  }

  /** @param start is called with the files unpacked @throws SandlotError checkpoint_damaged, and what `start` throws */
  async start(buildId: string, start: (source: MachineSource) => Promise<LiveMachine>): Promise<LiveMachine> {
    const { cold, persistence } = this.#options
    const { checkpointId } = this.#find(buildId)
    return cold.use(checkpointId, async () => {
      const { source } = await persistence.sourceOf(checkpointId, buildId, true)
      return persistence.startFromWhole(source, () => start(source))
    })
  }

  async #renewMisfit(buildId: string): Promise<void> {
    if (!this.isTemplate(buildId)) return
    const { cold, engineVersion, renew } = this.#options
    const { checkpointId } = this.#find(buildId)
    const manifest = await cold.describe(checkpointId)
    const misfit = findIncompatibility(manifest, engineVersion)
    if (manifest.template && misfit) await renew(checkpointId, misfit)
  }

  #find(buildId: string): SnapshotBuild {
    const build = this.#builds.get(buildId)
    if (!build) throw new SandlotError('not_found', `'${buildId}' was deleted`)
    return build
  }
}
