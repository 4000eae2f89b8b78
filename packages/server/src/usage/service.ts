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

/** How much a team's checkpoints and archives for COPY steps take on disk. */
export class StorageUsage {
  readonly #options: StorageUsageOptions

  constructor(options: StorageUsageOptions) {
    this.#options = options
  }

  /** Counts what a team keeps: bytes as they were written, and bytes that they take on disk. */
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
   * Frees what deleted checkpoints have left, for the administrator's team. Other teams are refused, because the report
   * tells how much they deleted. The node does this by itself every 15 minutes, and when the disk has no room for a checkpoint.
   * @throws SandlotError forbidden
   */
  async collectGarbage(team: Team, isDryRun: boolean): Promise<GarbageReport> {
    if (team.slug !== DEFAULT_TEAM_SLUG)
      throw new SandlotError(
        'forbidden',
        `garbage is collected for all teams at once, by itself every 15 minutes; only team '${DEFAULT_TEAM_SLUG}' may ask for it`,
      )
    return this.#options.node.collectGarbage(isDryRun)
  }

  /** Checks that a team may keep more. @throws SandlotError quota_exceeded */
  async checkQuota(team: Team): Promise<void> {
    if (team.plan.storageMB === null) return
    const { checkpoints, uploads, limits } = this.#options
    const { sizeBytes } = await checkpoints.usage(team.teamId)
    limits.checkStorage(team, sizeBytes + uploads.usage(team.teamId).sizeBytes)
  }
}
