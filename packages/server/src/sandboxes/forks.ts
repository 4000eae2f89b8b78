import { randomUUID } from 'node:crypto'
import { newAccessToken, newSandboxId, SandlotError } from '@sandlot/protocol'
import type { CheckpointService } from '../checkpoints/service.ts'
import type { Team } from '../teams/team.ts'
import type { SandboxLifecycle } from './lifecycle.ts'
import { networkPolicyOf } from './network-policy.ts'
import type { SandboxOperations } from './operations.ts'
import type { LiveSandbox } from './sandbox.ts'
import { checkSecure } from './settings.ts'

/** Forks: copies of a running sandbox that continue from the same moment. */
export class Forks {
  readonly #operations: SandboxOperations
  readonly #lifecycle: SandboxLifecycle
  readonly #checkpoints: CheckpointService
  readonly #requireSecure: boolean

  constructor(
    operations: SandboxOperations,
    lifecycle: SandboxLifecycle,
    checkpoints: CheckpointService,
    requireSecure: boolean,
  ) {
    this.#operations = operations
    this.#lifecycle = lifecycle
    this.#checkpoints = checkpoints
    this.#requireSecure = requireSecure
  }

  /**
   * Copies a running sandbox. Each copy succeeds or fails independently, but the create-rate limit admits all of them or
   * none.
   * @param seconds time to live of the forks
   * @returns one entry for each fork: the fork, or its error
   * @throws SandlotError rate_limited, not_found, conflict: the sandbox is paused
   */
  async fork(
    team: Team,
    sandboxId: string,
    count: number,
    seconds: number,
  ): Promise<Array<LiveSandbox | SandlotError>> {
    this.#operations.limits.checkLength(team, seconds)
    const { settings } = this.#operations.get(team, sandboxId)
    this.#operations.limits.checkCreateRate(team, count)
    checkSecure(settings, this.#requireSecure, 'fork one that was created with secure: true')
    const { sandbox, checkpointId } = await this.#checkpoints.save(team, sandboxId, 'fork')
    // the forks are what the sandbox was at this moment, although it may be paused or end while they start
    const source = { ...sandbox }
    try {
      return await Promise.all(
        Array.from({ length: count }, () =>
          this.#startFork(team, source, checkpointId, seconds).catch((error) =>
            error instanceof SandlotError
              ? error
              : new SandlotError('sandbox_create_failed', `a fork could not be made: ${error.message}`, {
                  cause: error,
                }),
          ),
        ),
      )
    } finally {
      this.#operations.inBackground('deleting the checkpoint of a fork', () =>
        this.#checkpoints.remove(checkpointId),
      )
    }
  }

  async #startFork(
    team: Team,
    source: LiveSandbox,
    checkpointId: string,
    seconds: number,
  ): Promise<LiveSandbox> {
    const { node, now } = this.#operations
    const release = this.#operations.limits.reserve(team)
    const sandboxId = newSandboxId()
    try {
      const machine = await node.resume(checkpointId, {
        hasMemory: true,
        owner: team.teamId,
        sandboxId,
        network: networkPolicyOf(source.settings),
        volumes: source.settings.volumeMounts,
      })
      const startedAtMs = now()
      const fork: LiveSandbox = {
        ...source,
        sandboxId,
        executionId: randomUUID(),
        machineId: machine.machineId,
        address: machine.address,
        state: 'starting',
        startedAtMs,
        endAtMs: startedAtMs + seconds * 1000,
        envdAccessToken: source.envdAccessToken && newAccessToken(),
        checkpointId: source.checkpointId,
        saved: undefined,
        settings: {
          ...source.settings,
          iam: undefined,
          trafficAccessToken: source.settings.trafficAccessToken && newAccessToken(),
          timeoutSeconds: seconds,
        },
      }
      await this.#lifecycle.begin(fork)
      release()
      this.#lifecycle.show(fork)
      return fork
    } finally {
      release()
    }
  }
}
