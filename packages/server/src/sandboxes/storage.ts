import type { GarbageReport, SandboxNode } from '@sandlot/node'
import { SandlotError } from '@sandlot/protocol'
import { DEFAULT_TEAM_SLUG } from '../teams/repository.ts'
import type { Team } from '../teams/team.ts'
import type { CheckpointRepository } from './checkpoint-repository.ts'

/** What a team's checkpoints take, and may take. */
export class Storage {
  readonly #node: SandboxNode
  readonly #checkpoints: CheckpointRepository

  constructor(node: SandboxNode, checkpoints: CheckpointRepository) {
    this.#node = node
    this.#checkpoints = checkpoints
  }

  async usage({ teamId, plan }: Team) {
    const ids = await this.#checkpoints.idsOf(teamId)
    const [{ count, sizeBytes }, { storedBytes, sharedBytes }] = await Promise.all([
      this.#checkpoints.usage(teamId),
      this.#node.storageOf(ids),
    ])
    const limitBytes = plan.storageMB === null ? null : plan.storageMB * 2 ** 20
    return { checkpoints: count, sizeBytes, storedBytes, sharedBytes, limitBytes }
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
   * @throws SandlotError rate_limited
   */
  async checkQuota({ teamId, name, plan }: Team): Promise<void> {
    if (plan.storageMB === null) return
    const { sizeBytes } = await this.#checkpoints.usage(teamId)
    if (sizeBytes < plan.storageMB * 2 ** 20) return
    throw new SandlotError(
      'rate_limited',
      `team '${name}' keeps ${Math.round(sizeBytes / 2 ** 20)} MB of checkpoints, its plan allows ${plan.storageMB}: delete snapshots or kill paused sandboxes`,
    )
  }
}
