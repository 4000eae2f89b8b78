import { SandlotError } from '@sandlot/protocol'
import type { GarbageReport, SandboxNode } from '@sandlot/protocol/node'
import type { CheckpointRepository } from '../checkpoints/repository.ts'
import type { TeamLimits } from '../teams/limits.ts'
import { DEFAULT_TEAM_SLUG } from '../teams/repository.ts'
import type { Team } from '../teams/team.ts'
import type { Uploads } from '../uploads/service.ts'

export interface StorageUsageOptions {
  node: Pick<SandboxNode, 'storageOf' | 'collectGarbage'>
  checkpoints: CheckpointRepository
  uploads: Pick<Uploads, 'usage'>
  limits: TeamLimits
}

/** Storage that a team's checkpoints and archives for COPY steps use. */
export class StorageUsage {
  readonly #options: StorageUsageOptions

  constructor(options: StorageUsageOptions) {
    this.#options = options
  }

  /** Counts what a team keeps: uncompressed bytes, and bytes on disk. */
  async usage({ teamId, plan }: Team) {
    const { checkpoints, node } = this.#options
    const ids = await checkpoints.idsOf(teamId)
    const [{ count, sizeBytes }, { storedBytes, sharedBytes }] = await Promise.all([
      checkpoints.usage(teamId),
      node.storageOf(ids),
    ])
    const uploads = this.#options.uploads.usage(teamId)
    return {
      checkpoints: count,
      uploads: uploads.count,
      uploadBytes: uploads.sizeBytes,
      sizeBytes: sizeBytes + uploads.sizeBytes,
      storedBytes,
      sharedBytes,
      limitBytes: plan.storageMB === null ? null : plan.storageMB * 2 ** 20,
    }
  }

  /**
   * Deletes chunks that no checkpoint needs, for the administrator's team. Other teams are refused, because the report
   * reveals how much all teams deleted. The node does this by itself every 15 minutes, and when the disk has no room for
   * a checkpoint.
   * @throws SandlotError forbidden
   */
  async collectGarbage(team: Team, isDryRun: boolean): Promise<GarbageReport> {
    if (team.slug !== DEFAULT_TEAM_SLUG)
      throw new SandlotError(
        'forbidden',
        `garbage of all teams is collected every 15 minutes; only team '${DEFAULT_TEAM_SLUG}' can request it`,
      )
    return this.#options.node.collectGarbage(isDryRun)
  }

  /** Checks that a team may store more. @throws SandlotError quota_exceeded */
  async checkQuota(team: Team): Promise<void> {
    if (team.plan.storageMB === null) return
    const { checkpoints, uploads, limits } = this.#options
    const { sizeBytes } = await checkpoints.usage(team.teamId)
    limits.checkStorage(team, sizeBytes + uploads.usage(team.teamId).sizeBytes)
  }
}
