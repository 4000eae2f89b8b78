import { SandlotError } from '@sandlot/protocol'
import type { SandboxNetworkUpdateConfig } from '@sandlot/protocol/rest'
import { lifecycleEvent } from '../events/events.ts'
import type { Team } from '../teams/team.ts'
import { notFound } from './errors.ts'
import { networkPolicyOf } from './network-policy.ts'
import { type NetworkLimits, withUpdate } from './network-settings.ts'
import type { SandboxOperations } from './operations.ts'
import type { EventRow } from './repository.ts'
import type { LiveSandbox, SandboxSettings } from './sandbox.ts'

/** Most entries of each list in an event. */
const MAX_EVENT_ENTRIES = 100

/** Replaces the rules for outgoing connections of running sandboxes. */
export class NetworkUpdates {
  readonly #operations: SandboxOperations
  readonly #limits: NetworkLimits

  constructor(operations: SandboxOperations, limits: NetworkLimits) {
    this.#operations = operations
    this.#limits = limits
  }

  /**
   * Resolves when the rules are in force and recorded. The node is told first: after a crash in between, the next start
   * puts the recorded rules in force again, and the caller never heard of the new ones.
   * @throws SandlotError not_found, conflict: the sandbox is paused, invalid_request, firewall_unavailable
   */
  update(team: Team, sandboxId: string, update: SandboxNetworkUpdateConfig): Promise<void> {
    this.#operations.get(team, sandboxId)
    return this.#operations.exclusively(sandboxId, async () => {
      const sandbox = this.#operations.get(team, sandboxId)
      if (sandbox.state !== 'running')
        throw new SandlotError(
          'conflict',
          `Sandbox "${sandboxId}" is not running: it is paused, and its network rules can be changed after a connect`,
        )
      const settings = withUpdate(sandbox.settings, update, this.#limits)
      await this.#replace(sandbox, settings, update.closeExisting === true)
    })
  }

  async #replace(sandbox: LiveSandbox, settings: SandboxSettings, closeExisting: boolean): Promise<void> {
    const { node, repository, now } = this.#operations
    try {
      await node.setNetwork(sandbox.machineId, networkPolicyOf(settings), { closeExisting })
      const changed = { ...sandbox, settings }
      await this.#operations.write(sandbox, () =>
        repository.setSettings(changed, updatedEvent(changed, now())),
      )
    } catch (error) {
      const isGone = error instanceof SandlotError && error.errorName === 'not_found'
      if (isGone) throw notFound(sandbox.sandboxId)
      await this.#restore(sandbox)
      throw error
    }
    sandbox.settings = settings
  }

  /** Puts the rules in force again that memory and the row hold; retried until the node has taken them. */
  async #restore(sandbox: LiveSandbox): Promise<void> {
    const { sandboxId, machineId } = sandbox
    const restore = async (): Promise<void> => {
      // a resume or a rollback has given the rules to another machine
      if (sandbox.machineId !== machineId || sandbox.state === 'killed') return
      await this.#operations.node
        .setNetwork(machineId, networkPolicyOf(sandbox.settings))
        .catch((error: unknown) => {
          // while the sandbox is paused, a frozen machine keeps the wrong rules: this is tried again when it runs
          const isGone = error instanceof SandlotError && error.errorName === 'not_found'
          if (!isGone || sandbox.state === 'paused') throw error
        })
    }
    await restore().catch(() =>
      this.#operations.later(`restoring the network rules of sandbox ${sandboxId}`, () =>
        this.#operations.exclusively(sandboxId, restore),
      ),
    )
  }
}

function updatedEvent(sandbox: LiveSandbox, atMs: number): EventRow {
  const { allowRanges, allowNames, denyRanges } = networkPolicyOf(sandbox.settings)
  return lifecycleEvent('updated', sandbox, atMs, {
    network_egress: {
      allowed_cidrs: allowRanges.slice(0, MAX_EVENT_ENTRIES),
      denied_cidrs: denyRanges.slice(0, MAX_EVENT_ENTRIES),
      allowed_domains: allowNames.slice(0, MAX_EVENT_ENTRIES),
    },
  })
}
