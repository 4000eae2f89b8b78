import { SandlotError } from '@sandlot/protocol'
import type { GarbageReport, SandboxNode } from '@sandlot/protocol/node'
import type { CheckpointRepository } from '../checkpoints/repository.ts'
import type { Uploads } from '../uploads/service.ts'
import { DEFAULT_TEAM_SLUG } from './repository.ts'
import type { Team } from './team.ts'

/** What a team's checkpoints and archives for COPY steps take, and may take. */
export class Storage {
  readonly #node: SandboxNode
  readonly #checkpoints: CheckpointRepository
  readonly #uploads: Pick<Uploads, 'usage'>

  constructor(node: SandboxNode, checkpoints: CheckpointRepository, uploads: Pick<Uploads, 'usage'>) {
    this.#node = node
    this.#checkpoints = checkpoints
    this.#uploads = uploads
  }

  async usage({ teamId, plan }: Team) {
    const ids = await this.#checkpoints.idsOf(teamId)
    const [{ count, sizeBytes }, { storedBytes, sharedBytes }] = await Promise.all([
      this.#checkpoints.usage(teamId),
      this.#node.storageOf(ids),
    ])
    const limitBytes = plan.storageMB === null ? null : plan.storageMB * 2 ** 20
    const uploads = this.#uploads.usage(teamId)
    return {
      ...{ checkpoints: count, uploads: uploads.count, uploadBytes: uploads.sizeBytes },
      ...{ sizeBytes: sizeBytes + uploads.sizeBytes, storedBytes, sharedBytes, limitBytes },
    }
  }

  /**
   * What nothing needs belongs to no team, and how much of it there is says what others deleted: so it is for the
   * administrator's team to ask for. Nobody has to: it is done every 15 minutes, and when a checkpoint lacks the room.
   * @throws SandlotError forbidden
   */
  async collectGarbage(team: Team, isDryRun: boolean): Promise<GarbageReport> {
    if (team.slug !== DEFAULT_TEAM_SLUG)
      throw new SandlotError(
        'forbidden',
        `garbage is collected for all teams at once, by itself every 15 minutes; only team '${DEFAULT_TEAM_SLUG}' may ask for it`,
      )
    return this.#node.collectGarbage(isDryRun)
  }

  /**
   * For what a team asks to keep. A pause is never refused for it: a sandbox must not be lost to a quota.
   * @throws SandlotError quota_exceeded
   */
  async checkQuota({ teamId, name, plan }: Team): Promise<void> {
    if (plan.storageMB === null) return
    const sizeBytes =
      (await this.#checkpoints.usage(teamId)).sizeBytes + this.#uploads.usage(teamId).sizeBytes
    if (sizeBytes < plan.storageMB * 2 ** 20) return
    throw new SandlotError(
      'quota_exceeded',
      `team '${name}' keeps ${Math.round(sizeBytes / 2 ** 20)} MB of checkpoints and archives of builds, its plan allows ${plan.storageMB}: delete snapshots and templates, or kill paused sandboxes`,
    )
  }
}
