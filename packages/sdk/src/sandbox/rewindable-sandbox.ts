import { type ApiAnswer, messageOf } from '../api/error.ts'
import { ConnectionConfig, type ConnectionOpts } from '../connection-config.ts'
import { CheckpointNotFoundError, SandboxNotFoundError } from '../errors.ts'
import type { Volume } from '../volume/volume.ts'
import { assertDone, bodyOf } from './answer.ts'
import {
  type SandboxCheckpoint,
  type SandboxDiff,
  type SandboxDiffOpts,
  type SandboxKeepOpts,
  type SandboxTree,
  toSandboxCheckpoint,
  toSandboxTree,
} from './checkpoint.ts'
import { EgressPaginator, type SandboxEgressOpts } from './egress.ts'
import type { SandboxApiOpts, SandboxMountOpts } from './options.ts'
import { SandboxApi } from './sandbox-api.ts'
import { mountBody } from './volume-mounts.ts'

/**
 * Calls that the official SDK does not have. A sandbox can be rolled back to earlier checkpoints: each pause, snapshot
 * and call of `checkpoint` adds a checkpoint to the sandbox's tree. It can be asked where it connected to, and gets and
 * loses volumes while it runs.
 */
export abstract class RewindableSandbox extends SandboxApi {
  abstract readonly sandboxId: string
  protected abstract readonly connectionConfig: ConnectionConfig

  /** Makes a checkpoint of a running sandbox. See {@link RewindableSandbox.checkpoint}. */
  static async checkpoint(sandboxId: string, opts?: SandboxApiOpts): Promise<SandboxCheckpoint> {
    const answer = await this.ask(this.config(opts), opts, (api, signal) =>
      api.POST('/sandboxes/{sandboxID}/checkpoints', { params: { path: { sandboxID: sandboxId } }, signal }),
    )
    return toSandboxCheckpoint(bodyOf(found(answer, sandboxId), sandboxId))
  }

  /** Rolls a sandbox, running or paused, back to one of its checkpoints. See {@link RewindableSandbox.rollback}. */
  static async rollback(sandboxId: string, checkpointId: string, opts?: SandboxApiOpts): Promise<void> {
    const answer = await this.ask(this.config(opts), opts, (api, signal) =>
      api.POST('/sandboxes/{sandboxID}/rollback', {
        params: { path: { sandboxID: sandboxId } },
        body: { checkpointID: checkpointId },
        signal,
      }),
    )
    assertDone(found(answer, sandboxId), sandboxId)
  }

  /** Lists the checkpoints of a sandbox, running or paused. See {@link RewindableSandbox.tree}. */
  static async tree(sandboxId: string, opts?: SandboxApiOpts): Promise<SandboxTree> {
    const answer = await this.ask(this.config(opts), opts, (api, signal) =>
      api.GET('/sandboxes/{sandboxID}/tree', { params: { path: { sandboxID: sandboxId } }, signal }),
    )
    return toSandboxTree(bodyOf(found(answer, sandboxId), sandboxId))
  }

  /** Lists the files that differ between two checkpoints of a sandbox. See {@link RewindableSandbox.diff}. */
  static async diff(sandboxId: string, opts?: SandboxDiffOpts): Promise<SandboxDiff> {
    const { from, to } = opts ?? {}
    const answer = await this.ask(this.config(opts), opts, (api, signal) =>
      api.GET('/sandboxes/{sandboxID}/diff', {
        params: { path: { sandboxID: sandboxId }, query: { from, to } },
        signal,
      }),
    )
    return bodyOf(found(answer, sandboxId), sandboxId)
  }

  /** Sets how many checkpoints a sandbox keeps. See {@link RewindableSandbox.keep}. */
  static async keep(sandboxId: string, opts: SandboxKeepOpts): Promise<void> {
    const { last, maxAgeSeconds } = opts
    const answer = await this.ask(this.config(opts), opts, (api, signal) =>
      api.PUT('/sandboxes/{sandboxID}/keep', {
        params: { path: { sandboxID: sandboxId } },
        body: { last, maxAgeSeconds },
        signal,
      }),
    )
    assertDone(found(answer, sandboxId), sandboxId)
  }

  /** Lists where a sandbox connected to, page by page. See {@link RewindableSandbox.egress}. */
  static egress(sandboxId: string, opts?: SandboxEgressOpts): EgressPaginator {
    return new EgressPaginator(sandboxId, this.resolveOpts(opts))
  }

  /** Mounts a volume into a running sandbox. See {@link RewindableSandbox.mountVolume}. */
  static async mountVolume(
    sandboxId: string,
    path: string,
    volume: Volume | string,
    opts?: SandboxMountOpts,
  ): Promise<void> {
    const answer = await this.ask(this.config(opts), opts, (api, signal) =>
      api.POST('/sandboxes/{sandboxID}/volumes', {
        params: { path: { sandboxID: sandboxId } },
        body: mountBody(path, volume, opts?.readOnly),
        signal,
      }),
    )
    assertDone(found(answer, sandboxId), sandboxId)
  }

  /** Unmounts a volume of a running sandbox. See {@link RewindableSandbox.unmountVolume}. */
  static async unmountVolume(sandboxId: string, path: string, opts?: SandboxApiOpts): Promise<boolean> {
    const answer = await this.ask(this.config(opts), opts, (api, signal) =>
      api.DELETE('/sandboxes/{sandboxID}/volumes', {
        params: { path: { sandboxID: sandboxId }, query: { path } },
        signal,
      }),
    )
    if (errorNameOf(answer) === 'volume_not_mounted') return false
    assertDone(found(answer, sandboxId), sandboxId)
    return true
  }

  /**
   * Saves memory, processes and files as a checkpoint to roll back to later. The sandbox must be running and keeps
   * running.
   *
   * @throws {@link SandboxNotFoundError}
   * @throws {@link SandboxError} with `statusCode` 409 while the sandbox is paused, 507 when the server has no disk
   * space
   * @throws {@link RateLimitError} when the team already stores as much as its plan allows
   * @example
   * ```ts
   * const { checkpointId } = await sandbox.checkpoint()
   * await sandbox.commands.run('rm -rf node_modules && npm install')
   * await sandbox.rollback(checkpointId)
   * ```
   */
  async checkpoint(opts?: SandboxApiOpts): Promise<SandboxCheckpoint> {
    return await RewindableSandbox.checkpoint(this.sandboxId, this.resolve(opts))
  }

  /**
   * Rolls the sandbox back to one of its checkpoints. Later changes are lost unless another checkpoint contains them.
   * This
   * object stays valid: id, tokens and end of life do not change, and a paused sandbox stays paused. Open commands,
   * terminals and watches of the SDK end with a {@link SandboxError}; the processes of the checkpoint run again, and
   * `commands.connect(pid)` listens to them.
   *
   * @throws {@link CheckpointNotFoundError} when the sandbox has no such checkpoint, or the checkpoint was deleted
   * @throws {@link SandboxNotFoundError}
   * @example
   * ```ts
   * const { checkpointId } = await sandbox.checkpoint()
   * await sandbox.files.write('config.json', '{}')
   * await sandbox.rollback(checkpointId)
   * await sandbox.files.exists('config.json') // false
   * ```
   */
  async rollback(checkpointId: string, opts?: SandboxApiOpts): Promise<void> {
    await RewindableSandbox.rollback(this.sandboxId, checkpointId, this.resolve(opts))
  }

  /**
   * Lists the sandbox's checkpoints with parent, time, size and cause.
   *
   * @throws {@link SandboxNotFoundError}
   * @example
   * ```ts
   * const { checkpoints } = await sandbox.tree()
   * const head = checkpoints.find(({ isHead }) => isHead)
   * ```
   */
  async tree(opts?: SandboxApiOpts): Promise<SandboxTree> {
    return await RewindableSandbox.tree(this.sandboxId, this.resolve(opts))
  }

  /**
   * Lists the files that differ between two checkpoints, by default between the newest and its parent.
   *
   * @throws {@link CheckpointNotFoundError} when one of them is not a checkpoint of this sandbox, or was deleted
   * @throws {@link SandboxNotFoundError}
   * @throws {@link SandboxError} with `statusCode` 400 while the sandbox has fewer than two checkpoints to compare
   * @example
   * ```ts
   * const before = await sandbox.checkpoint()
   * await sandbox.commands.run('npm install')
   * const after = await sandbox.checkpoint()
   * const { added } = await sandbox.diff({ from: before.checkpointId, to: after.checkpointId })
   * ```
   */
  async diff(opts?: SandboxDiffOpts): Promise<SandboxDiff> {
    return await RewindableSandbox.diff(this.sandboxId, this.resolve(opts))
  }

  /**
   * Sets how many checkpoints the sandbox keeps, and replaces earlier settings; the server's default is `{ last: 3 }`.
   * Checkpoints beyond the policy are deleted soon after the call, and again after each new checkpoint.
   *
   * @throws {@link SandboxNotFoundError}
   * @throws {@link SandboxError} with `statusCode` 400 for numbers out of range
   * @example
   * ```ts
   * await sandbox.keep({ last: 20, maxAgeSeconds: 7 * 24 * 3600 })
   * ```
   */
  async keep(opts: SandboxKeepOpts): Promise<void> {
    await RewindableSandbox.keep(this.sandboxId, this.resolve(opts))
  }

  /**
   * Lists where the sandbox connected to, and what its network rules said, the oldest first. Recorded for sandboxes with
   * network rules, and for all if the server is set so.
   *
   * @throws {@link SandboxNotFoundError} when the first page is fetched
   * @example
   * ```ts
   * for await (const { name, address, port, rule } of sandbox.egress({ verdict: 'denied' }))
   *   console.log(`${name ?? address}:${port} was denied by: ${rule}`)
   * ```
   */
  egress(opts?: SandboxEgressOpts): EgressPaginator {
    return new EgressPaginator(this.sandboxId, this.resolve(opts))
  }

  /**
   * Mounts a volume into the sandbox, which must be running. The mount returns after a pause and a rollback, and forks
   * have it too. The path is created if it does not exist; a mount that is there already is left as it is.
   *
   * @param volume volume, or its name
   * @param opts `readOnly`: the sandbox cannot change the volume; snapshots are always mounted so
   * @throws {@link SandboxNotFoundError}
   * @throws {@link SandboxError} with `statusCode` 400 for a path or volume that cannot be mounted, 409 while the sandbox
   * is paused or when the path has another volume
   * @example
   * ```ts
   * await sandbox.mountVolume('/mnt/data', volume, { readOnly: true })
   * await sandbox.commands.run('ls /mnt/data')
   * await sandbox.unmountVolume('/mnt/data')
   * ```
   */
  async mountVolume(path: string, volume: Volume | string, opts?: SandboxMountOpts): Promise<void> {
    await RewindableSandbox.mountVolume(this.sandboxId, path, volume, this.resolve(opts))
  }

  /**
   * Unmounts the volume at a path of the sandbox, which must be running. Files of the volume that processes have open stay
   * usable; the path shows what the sandbox itself has there.
   *
   * @returns false if no volume is mounted at the path
   * @throws {@link SandboxNotFoundError}
   * @throws {@link SandboxError} with `statusCode` 409 while the sandbox is paused
   */
  async unmountVolume(path: string, opts?: SandboxApiOpts): Promise<boolean> {
    return await RewindableSandbox.unmountVolume(this.sandboxId, path, this.resolve(opts))
  }

  /** Calls of an instance use the connection that it was created with, unless the options of the call override that. */
  protected resolve<Opts extends ConnectionOpts>(opts?: Opts): Opts {
    return ConnectionConfig.mergeOpts({ ...this.connectionConfig }, opts) as Opts
  }
}

/** @throws with the server's message, which says whether the sandbox or its checkpoint is missing */
function found<Answer extends ApiAnswer>(answer: Answer, sandboxId: string): Answer {
  if (answer.response.status !== 404) return answer
  const message = messageOf(answer.error) ?? `Sandbox ${sandboxId} not found`
  throw errorNameOf(answer) === 'checkpoint_not_found'
    ? new CheckpointNotFoundError(message)
    : new SandboxNotFoundError(message)
}

const errorNameOf = ({ error }: ApiAnswer): unknown =>
  (error as { error_code?: unknown } | undefined)?.error_code
