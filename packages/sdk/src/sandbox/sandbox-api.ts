import { type Api, openApi } from '../api/client.ts'
import { type ApiAnswer, apiErrorOf, errorOfStatus, messageOf } from '../api/error.ts'
import type { Schema } from '../api/schema.ts'
import { ClientFactory, ConnectionConfig, type ConnectionOpts } from '../connection-config.ts'
import { envdSince, isAtLeast } from '../envd/version.ts'
import {
  InvalidArgumentError,
  NotFoundError,
  SandboxError,
  SandboxNotFoundError,
  TemplateError,
} from '../errors.ts'
import { assertDone, bodyOf } from './answer.ts'
import {
  type SandboxAccess,
  type SandboxInfo,
  type SandboxMetrics,
  type SnapshotInfo,
  toSandboxAccess,
  toSandboxInfo,
  toSandboxMetrics,
  toSnapshotInfo,
} from './info.ts'
import type { SandboxNetworkUpdate } from './network.ts'
import { networkUpdate, newSandbox, toSeconds } from './new-sandbox.ts'
import type {
  CreateSnapshotOpts,
  SandboxApiOpts,
  SandboxConnectOpts,
  SandboxMetricsOpts,
  SandboxOpts,
  SandboxPauseOpts,
  SandboxUpdateNetworkOpts,
  SnapshotListOpts,
} from './options.ts'
import { SnapshotPaginator } from './paginators.ts'

const ON_RESUME = ['restore', 'reboot']

/** Outcome of one fork. */
export type SandboxForkResponse = SandboxAccess | Error

/** Calls to the control plane, which need no connection to a sandbox. */
export class SandboxApi extends ClientFactory {
  protected constructor() {
    super()
  }

  /** Kills a sandbox, running or paused. @returns false when the sandbox does not exist */
  static async kill(sandboxId: string, opts?: SandboxApiOpts): Promise<boolean> {
    const config = this.config(opts)
    if (config.debug) return true
    const answer = await this.ask(config, opts, (api, signal) =>
      api.DELETE('/sandboxes/{sandboxID}', { params: { path: { sandboxID: sandboxId } }, signal }),
    )
    return existed(answer)
  }

  /** Gets information about a sandbox, running or paused. @throws {@link SandboxNotFoundError} */
  static async getInfo(sandboxId: string, opts?: SandboxApiOpts): Promise<SandboxInfo> {
    const answer = await this.ask(this.config(opts), opts, (api, signal) =>
      api.GET('/sandboxes/{sandboxID}', { params: { path: { sandboxID: sandboxId } }, signal }),
    )
    return toSandboxInfo(bodyOf(answer, sandboxId))
  }

  /** @deprecated Use {@link SandboxApi.getInfo}. */
  static async getFullInfo(sandboxId: string, opts?: SandboxApiOpts): Promise<SandboxInfo> {
    return await this.getInfo(sandboxId, opts)
  }

  /** Gets the resource usage of a sandbox, sampled every few seconds. Empty when there are no samples in the period. */
  static async getMetrics(sandboxId: string, opts?: SandboxMetricsOpts): Promise<SandboxMetrics[]> {
    const config = this.config(opts)
    if (config.debug) return []
    const { start, end } = opts ?? {}
    const answer = await this.ask(config, opts, (api, signal) =>
      api.GET('/sandboxes/{sandboxID}/metrics', {
        params: {
          path: { sandboxID: sandboxId },
          query: { start: start && unixSeconds(start), end: end && unixSeconds(end) },
        },
        signal,
      }),
    )
    assertDone(answer, sandboxId)
    return (answer.data ?? []).map(toSandboxMetrics)
  }

  /** Sets the time to live from now, in **milliseconds**, which may shorten it. 0 ends the sandbox now. */
  static async setTimeout(sandboxId: string, timeoutMs: number, opts?: SandboxApiOpts): Promise<void> {
    const config = this.config(opts)
    if (config.debug) return
    const answer = await this.ask(config, opts, (api, signal) =>
      api.POST('/sandboxes/{sandboxID}/timeout', {
        params: { path: { sandboxID: sandboxId } },
        body: { timeout: toSeconds(timeoutMs) },
        signal,
      }),
    )
    assertDone(answer, sandboxId)
  }

  /**
   * Replaces the rules for outgoing connections of a running sandbox; fields that are left out are cleared. Open
   * connections live on unless `closeExisting` is true.
   */
  static async updateNetwork(
    sandboxId: string,
    network: SandboxNetworkUpdate,
    opts?: SandboxUpdateNetworkOpts,
  ): Promise<void> {
    const answer = await this.ask(this.config(opts), opts, (api, signal) =>
      api.PUT('/sandboxes/{sandboxID}/network', {
        params: { path: { sandboxID: sandboxId } },
        body: networkUpdate(network, opts?.closeExisting),
        signal,
      }),
    )
    assertDone(answer, sandboxId)
  }

  /** Pauses a sandbox; {@link Sandbox.connect} resumes it. @returns false when the sandbox was already paused */
  static async pause(sandboxId: string, opts?: SandboxPauseOpts): Promise<boolean> {
    const answer = await this.ask(this.config(opts), opts, (api, signal) =>
      api.POST('/sandboxes/{sandboxID}/pause', {
        params: { path: { sandboxID: sandboxId } },
        body: { memory: opts?.keepMemory },
        signal,
      }),
    )
    if (answer.response.status === 409) return false
    assertDone(answer, sandboxId)
    return true
  }

  /** @deprecated Use {@link SandboxApi.pause}. */
  static async betaPause(sandboxId: string, opts?: SandboxPauseOpts): Promise<boolean> {
    return await this.pause(sandboxId, opts)
  }

  /** Saves the state of a sandbox, which keeps running; `Sandbox.create(snapshotId)` starts from the snapshot. */
  static async createSnapshot(sandboxId: string, opts?: CreateSnapshotOpts): Promise<SnapshotInfo> {
    const answer = await this.ask(this.config(opts), opts, (api, signal) =>
      api.POST('/sandboxes/{sandboxID}/snapshots', {
        params: { path: { sandboxID: sandboxId } },
        body: { name: opts?.name },
        signal,
      }),
    )
    return toSnapshotInfo(bodyOf(answer, sandboxId))
  }

  /** Lists snapshots page by page. */
  static listSnapshots(opts?: SnapshotListOpts): SnapshotPaginator {
    return new SnapshotPaginator(this.resolveOpts(opts))
  }

  /** Deletes a snapshot. @returns false when the snapshot does not exist */
  static async deleteSnapshot(snapshotId: string, opts?: SandboxApiOpts): Promise<boolean> {
    const answer = await this.ask(this.config(opts), opts, (api, signal) =>
      api.DELETE('/templates/{templateID}', { params: { path: { templateID: snapshotId } }, signal }),
    )
    return existed(answer)
  }

  protected static async createSandbox(
    template: string,
    timeoutMs?: number,
    opts?: SandboxOpts,
  ): Promise<SandboxAccess> {
    const body = newSandbox(template, timeoutMs, opts)
    const answer = await this.ask(this.config(opts), opts, (api, signal) =>
      api.POST('/v2/sandboxes', { body, signal }),
    )
    const error = apiErrorOf(answer)
    if (error) throw error
    const sandbox = toSandboxAccess(answer.data as Schema<'Sandbox'>)
    if (isAtLeast(sandbox.envdVersion, envdSince.supported)) return sandbox
    await this.kill(sandbox.sandboxId, opts)
    throw new TemplateError('You need to update the template to use the new SDK.')
  }

  protected static async forkSandbox(
    sandboxId: string,
    timeoutMs?: number,
    count?: number,
    opts?: SandboxApiOpts,
  ): Promise<SandboxForkResponse[]> {
    const answer = await this.ask(this.config(opts), opts, (api, signal) =>
      api.POST('/sandboxes/{sandboxID}/fork', {
        params: { path: { sandboxID: sandboxId } },
        body: { timeout: timeoutMs === undefined ? undefined : toSeconds(timeoutMs), count },
        signal,
      }),
    )
    // the server's message says what is missing: the sandbox, or the source of the fork
    if (answer.response.status === 404)
      throw new SandboxNotFoundError(messageOf(answer.error) ?? `Sandbox ${sandboxId} not found`)
    const error = apiErrorOf(answer)
    if (error) throw error
    return (answer.data ?? []).map(forkOutcome)
  }

  protected static async connectSandbox(
    sandboxId: string,
    opts?: SandboxConnectOpts,
  ): Promise<SandboxAccess> {
    const { timeoutMs, onResume } = opts ?? {}
    if (onResume !== undefined && !ON_RESUME.includes(onResume))
      throw new InvalidArgumentError(
        `onResume must be one of: ${ON_RESUME.join(', ')} (got ${JSON.stringify(onResume)}).`,
      )
    const answer = await this.ask(this.config(opts), opts, (api, signal) =>
      api.POST('/v2/sandboxes/{sandboxID}/connect', {
        params: { path: { sandboxID: sandboxId } },
        body: {
          timeout: timeoutMs === undefined ? undefined : toSeconds(timeoutMs),
          memory: onResume === 'reboot' ? false : undefined,
        },
        signal,
      }),
    )
    if (answer.response.status === 404)
      throw new SandboxNotFoundError(`Paused sandbox ${sandboxId} not found`)
    const error = apiErrorOf(answer)
    if (error) throw error
    return toSandboxAccess(answer.data as Schema<'Sandbox'>)
  }

  protected static config(opts?: ConnectionOpts): ConnectionConfig {
    return new ConnectionConfig(this.resolveOpts(opts))
  }

  protected static async ask<Answer extends ApiAnswer>(
    config: ConnectionConfig,
    opts: Pick<ConnectionOpts, 'signal'> | undefined,
    send: (api: Api, signal: AbortSignal | undefined) => Promise<Answer>,
  ): Promise<Answer> {
    return await send(await openApi(config), config.getSignal(undefined, opts?.signal))
  }
}

/** @returns false for a 404 */
function existed(answer: ApiAnswer): boolean {
  if (answer.response.status === 404) return false
  const error = apiErrorOf(answer)
  if (error) throw error
  return true
}

function forkOutcome({ sandbox, error }: Schema<'SandboxForkResult'>): SandboxForkResponse {
  if (sandbox) return toSandboxAccess(sandbox)
  if (!error) return new SandboxError('Failed to start forked sandbox')
  if (error.code === 404) return new NotFoundError(`404: ${error.message}`)
  return errorOfStatus(error.code, error.message)
}

const unixSeconds = (time: Date): number => Math.round(time.getTime() / 1000)
