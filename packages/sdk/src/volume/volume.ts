import type { Schema } from '../api/schema.ts'
import { ConnectionConfig, type ConnectionOpts } from '../connection-config.ts'
import type { DeletedVolumeInfo, VolumeAndToken, VolumeInfo } from './types.ts'
import { VolumeApi } from './volume-api.ts'
import { VolumeContent } from './volume-content.ts'

/** The server may have to copy all blocks of a volume. */
const COPY_TIMEOUT_MS = 3_600_000

/** How to create a volume. */
export type NewVolumeOpts = ConnectionOpts & {
  /** Size in MB. @default 10_240, or the size of `from` */
  sizeMB?: number
  /** Volume, or its id, whose files are copied as they are at one moment. @default none: the volume is empty */
  from?: Volume | string
}

/** How to delete a volume. */
export type DestroyVolumeOpts = ConnectionOpts & {
  /** Deletes it for good, also one that was deleted before. @default false: it can be restored for a day */
  now?: boolean
}

type OpenedVolume = Pick<Schema<'VolumeAndToken'>, 'volumeID' | 'name' | 'token' | 'domain' | 'copied'>

/** Connections that volumes were created or found with, for calls of the control API. */
const connections = new WeakMap<Volume, ConnectionConfig>()

/**
 * Storage that outlives sandboxes. The static methods manage volumes; an instance reads and writes the files of one
 * volume, without a sandbox.
 *
 * @example
 * ```ts
 * const volume = await Volume.create('datasets')
 * await volume.writeFile('/train.csv', 'a,b\n1,2\n')
 * const sandbox = await Sandbox.create({ volumeMounts: { '/mnt/data': volume } })
 * ```
 */
export class Volume extends VolumeContent {
  readonly volumeId: string
  readonly name: string
  /** Bearer token of the content API. */
  readonly token: string
  /** Domain of the content API, `api.<domain>`. */
  readonly domain?: string
  readonly debug?: boolean
  readonly proxy?: string
  /**
   * How the files of a copy or snapshot were copied: `reflink` shares blocks of the disk and is done at once, `copy` took
   * time and disk. Undefined for other volumes.
   */
  copied?: 'reflink' | 'copy'

  /** Makes an instance for a volume with a known token; sends no request. */
  constructor(
    volumeId: string,
    name: string,
    token: string,
    domain?: string,
    debug?: boolean,
    proxy?: string,
  ) {
    super()
    this.volumeId = volumeId
    this.name = name
    this.token = token
    this.domain = domain
    this.debug = debug
    this.proxy = proxy
  }

  /**
   * Creates a volume.
   *
   * @param name letters, digits, `-` and `_`, unique within the team
   * @param opts `sizeMB` and `from` are Sandlot's
   * @throws {@link VolumeError} if the name is taken or has other characters
   */
  static async create<V extends typeof Volume>(
    this: V,
    name: string,
    opts?: NewVolumeOpts,
  ): Promise<InstanceType<V>> {
    const config = new ConnectionConfig(this.resolveOpts(opts))
    const body = { name, sizeMB: opts?.sizeMB, from: opts?.from && idOf(opts.from) }
    const timeoutMs = body.from ? (opts?.requestTimeoutMs ?? COPY_TIMEOUT_MS) : undefined
    return this.opened(await new VolumeApi(config, opts?.signal).create(body, timeoutMs), config)
  }

  /**
   * Returns an instance for an existing volume.
   *
   * @throws {@link VolumeNotFoundError} if no volume has this id
   */
  static async connect<V extends typeof Volume>(
    this: V,
    volumeId: string,
    opts?: ConnectionOpts,
  ): Promise<InstanceType<V>> {
    const { name, token, domain } = await this.getInfo(volumeId, opts)
    return this.opened(
      { volumeID: volumeId, name, token, domain },
      new ConnectionConfig(this.resolveOpts(opts)),
    )
  }

  /**
   * Describes a volume, with its size and what it uses.
   *
   * @throws {@link VolumeNotFoundError} for an unknown id
   */
  static async getInfo(volumeId: string, opts?: ConnectionOpts): Promise<VolumeAndToken> {
    return this.api(opts).get(volumeId)
  }

  /** All volumes of the team. */
  static async list(opts?: ConnectionOpts): Promise<VolumeInfo[]> {
    return this.api(opts).list()
  }

  /**
   * Deletes a volume with all its files. A Sandlot can bring it back for a day, see {@link Volume.restore}.
   *
   * @param opts `now`: delete it for good, also a volume that was deleted before
   * @returns false if no volume has this id
   * @throws {@link VolumeError} if a sandbox has the volume mounted
   */
  static async destroy(volumeId: string, opts?: DestroyVolumeOpts): Promise<boolean> {
    return this.api(opts).delete(volumeId, opts?.now)
  }

  /** The deleted volumes that can be restored, the last deleted first. */
  static async listDeleted(opts?: ConnectionOpts): Promise<DeletedVolumeInfo[]> {
    return this.api(opts).listDeleted()
  }

  /**
   * Brings a deleted volume back, with its files and under its name.
   *
   * @throws {@link VolumeNotFoundError} if there is no such volume any more
   * @throws {@link VolumeError} if another volume has the name now
   */
  static async restore(volumeId: string, opts?: ConnectionOpts): Promise<VolumeAndToken> {
    return this.api(opts).restore(volumeId)
  }

  /**
   * Enlarges a volume; volumes do not shrink.
   *
   * @param sizeMB new size
   * @throws {@link VolumeError} if sandboxes use the volume and the server cannot enlarge it meanwhile; the message says
   * what to do
   */
  static async resize(volumeId: string, sizeMB: number, opts?: ConnectionOpts): Promise<VolumeAndToken> {
    return this.api(opts).resize(volumeId, sizeMB)
  }

  private static api(opts?: ConnectionOpts): VolumeApi {
    return new VolumeApi(new ConnectionConfig(this.resolveOpts(opts)), opts?.signal)
  }

  private static opened<V extends typeof Volume>(
    this: V,
    { volumeID, name, token, domain, copied }: OpenedVolume,
    config: ConnectionConfig,
  ): InstanceType<V> {
    const { debug, proxy } = config
    const volume = new this(volumeID, name, token, domain ?? config.domain, debug, proxy) as InstanceType<V>
    if (copied) volume.copied = copied
    connections.set(volume, config)
    return volume
  }

  /**
   * Saves the files as they are at this moment: a volume of its own, which nobody can change, and which sandboxes mount
   * read-only. It stays when this volume is deleted, and `Volume.create(name, { from: snapshot })` makes a volume to work
   * with of it. Programs that write to this volume wait meanwhile.
   *
   * @param name name of the snapshot. @default the name of this volume, `-` and the time, as in `data-20260102-030405`
   * @throws {@link VolumeError} if the name is taken
   * @example
   * ```ts
   * const before = await volume.snapshot()
   * await Sandbox.create({ volumeMounts: { '/before': before, '/data': volume } })
   * ```
   */
  async snapshot(name?: string, opts?: ConnectionOpts): Promise<this> {
    const volumes = this.constructor as typeof Volume
    const config = new ConnectionConfig(
      ConnectionConfig.mergeOpts({ ...connections.get(this) }, volumes.resolveOpts(opts)),
    )
    const body = { name: name ?? snapshotName(this.name, new Date()), from: this.volumeId, snapshot: true }
    const timeoutMs = opts?.requestTimeoutMs ?? COPY_TIMEOUT_MS
    return volumes.opened(await new VolumeApi(config, opts?.signal).create(body, timeoutMs), config) as this
  }
}

const idOf = (volume: Volume | string): string => (typeof volume === 'string' ? volume : volume.volumeId)

/** `<name>-<UTC time>`, within the 128 characters of a name. */
export const snapshotName = (name: string, time: Date): string =>
  `${name.slice(0, 112)}-${time.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-')}`
