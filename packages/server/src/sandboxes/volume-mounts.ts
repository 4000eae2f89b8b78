import { SandlotError } from '@sandlot/protocol'
import type { VolumeMount } from '@sandlot/protocol/node'
import { lifecycleEvent } from '../events/events.ts'
import type { Team } from '../teams/team.ts'
import { type AskedMount, cleaned, isSameMount } from '../volumes/mounts.ts'
import { notFound } from './errors.ts'
import type { SandboxOperations } from './operations.ts'
import type { LiveSandbox } from './sandbox.ts'

/** Finds the volume that a caller names. @throws SandlotError invalid_request, conflict */
export type FindMount = (
  teamId: string,
  asked: AskedMount,
  mounted: readonly VolumeMount[],
) => Promise<VolumeMount>

/**
 * Mounts volumes into running sandboxes, and unmounts them. The node is told first: after a crash in between, the next
 * start brings the sandbox back to what its row says, and the caller never heard of the change.
 */
export class VolumeMounts {
  readonly #operations: SandboxOperations
  readonly #find: FindMount

  constructor(operations: SandboxOperations, find: FindMount) {
    this.#operations = operations
    this.#find = find
  }

  /** @throws SandlotError not_found, conflict: the sandbox is paused, or the path has another volume; invalid_request, volume_unavailable */
  mount(team: Team, sandboxId: string, asked: AskedMount): Promise<VolumeMount> {
    return this.#onRunning(team, sandboxId, async (sandbox) => {
      const mounted = sandbox.settings.volumeMounts ?? []
      const mount = await this.#find(team.teamId, asked, mounted)
      if (mounted.some((one) => isSameMount(one, mount))) return mount
      await this.#change(sandbox, mount.path, [...mounted, mount], () =>
        this.#operations.node.mountVolume(sandbox.machineId, mount),
      )
      return mount
    })
  }

  /** @throws SandlotError not_found, conflict: the sandbox is paused, volume_not_mounted */
  unmount(team: Team, sandboxId: string, asked: string): Promise<void> {
    return this.#onRunning(team, sandboxId, async (sandbox) => {
      const mounted = sandbox.settings.volumeMounts ?? []
      const path = cleaned(asked)
      const rest = mounted.filter((one) => one.path !== path)
      if (rest.length === mounted.length) throw notMounted(asked, mounted)
      await this.#change(sandbox, path, rest, () =>
        this.#operations.node.unmountVolume(sandbox.machineId, path),
      )
    })
  }

  #onRunning<T>(team: Team, sandboxId: string, work: (sandbox: LiveSandbox) => Promise<T>): Promise<T> {
    this.#operations.get(team, sandboxId)
    return this.#operations.exclusively(sandboxId, async () => {
      const sandbox = this.#operations.get(team, sandboxId)
      if (sandbox.state !== 'running')
        throw new SandlotError(
          'conflict',
          `Sandbox "${sandboxId}" is paused: connect to it first, then mount or unmount volumes`,
        )
      return work(sandbox)
    })
  }

  async #change(
    sandbox: LiveSandbox,
    path: string,
    volumeMounts: VolumeMount[],
    apply: () => Promise<unknown>,
  ): Promise<void> {
    const { repository, now } = this.#operations
    const settings = { ...sandbox.settings, volumeMounts: volumeMounts.length > 0 ? volumeMounts : undefined }
    try {
      await apply()
      const event = lifecycleEvent('updated', sandbox, now(), { volume_mounts: shown(volumeMounts) })
      await this.#operations.write(sandbox, () => repository.setSettings({ ...sandbox, settings }, event))
    } catch (error) {
      const isGone = error instanceof SandlotError && error.errorName === 'not_found'
      if (isGone) throw await this.#missing(sandbox, error)
      await this.#restore(sandbox, path)
      throw error
    }
    sandbox.settings = settings
  }

  /** Finds out what the node does not have: the machine, or the volume, which was deleted just now. */
  async #missing({ sandboxId, machineId }: LiveSandbox, error: SandlotError): Promise<SandlotError> {
    const status = await this.#operations.node.status(machineId)
    return status === undefined
      ? notFound(sandboxId)
      : new SandlotError('invalid_request', error.message, { cause: error })
  }

  /** Brings the path back to what memory and the row hold; retried until the node has done so. */
  async #restore(sandbox: LiveSandbox, path: string): Promise<void> {
    const { node } = this.#operations
    const { sandboxId, machineId } = sandbox
    const restore = async (): Promise<void> => {
      // another machine has been given what the row holds, and a resume gives it to this one
      if (sandbox.machineId !== machineId || sandbox.state !== 'running') return
      const before = sandbox.settings.volumeMounts?.find((one) => one.path === path)
      const restoring = before ? node.mountVolume(machineId, before) : node.unmountVolume(machineId, path)
      await restoring.catch((error: unknown) => {
        if (!(error instanceof SandlotError && error.errorName === 'not_found')) throw error
      })
    }
    await restore().catch(() =>
      this.#operations.later(`restoring the volumes of sandbox ${sandboxId}`, () =>
        this.#operations.exclusively(sandboxId, restore),
      ),
    )
  }
}

const shown = (mounts: readonly VolumeMount[]) =>
  mounts.map(({ name, path, isReadOnly }) => ({ name, path, read_only: isReadOnly }))

function notMounted(path: string, mounted: readonly VolumeMount[]): SandlotError {
  const paths = mounted.map((one) => `'${one.path}'`).join(', ')
  const rest = paths === '' ? 'this sandbox has none' : `those of this sandbox are at ${paths}`
  return new SandlotError('volume_not_mounted', `no volume is mounted at '${path}': ${rest}`)
}
