import type { GarbageReport, SandboxNode } from '@sandlot/node'
import { SandlotError } from '@sandlot/protocol'
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

  collectGarbage(isDryRun: boolean): Promise<GarbageReport> {
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
