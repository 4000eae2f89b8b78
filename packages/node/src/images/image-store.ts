import { createHash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import {
  constants,
  copyFile,
  link,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  statfs,
  utimes,
} from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { SandlotError, toMB } from '@sandlot/protocol'
import type { BuildEnvironment, RegistryLogin } from '@sandlot/protocol/node'
import { digest, INITIAL_ENVIRONMENT } from '../builder/recipe.ts'
import { removeUnfinished, WRITING_PREFIX, writeFileAtomically } from '../host/atomic-writes.ts'
import { passwordFor } from './ecr-login.ts'
import type { FileLimits } from './image-file.ts'
import { type ImageName, isBaseImage, parseImageName } from './image-name.ts'
import type { ImagePuller, PulledImage } from './image-puller.ts'
import type { FinishedImage } from './imager-answers.ts'
import { packTar } from './pack-tar.ts'
import { unlessAborted } from './unless-aborted.ts'

const NAMES = 'names.json'
/** Largest image, holes included. */
const MAX_IMAGE_BYTES = 64 * 2 ** 30
const SPARE_BYTES = 512 * 2 ** 20
/** Version of the changes that guest/imager makes to images; must be incremented with each change. */
const ADAPTATION = 4

/** An image that machines boot from. */
export interface StoredImage {
  key: string
  imagePath: string
  environment: BuildEnvironment
}

export interface ListedImage {
  key: string
  sizeBytes: number
  usedAtMs: number
  /** Names that are mapped to the image. */
  names: string[]
  /** Source of the image, for display. */
  source: string
}

export interface ImageStoreOptions {
  /** `<home>/images`. */
  dir: string
  baseImage: { path: string; key: string }
  /** Space that images must leave on the disk. Default 512 MiB. */
  spareBytes?: number
  /** Absent: only images on this machine can be resolved. */
  puller?: ImagePuller
}

export interface ResolveOptions {
  login?: RegistryLogin
  log?: (message: string) => void
  /** Team that waits for the image. */
  owner: string
  signal: AbortSignal
}

interface ImageRecord {
  source: string
  environment: BuildEnvironment
  /** Key of the newest image that was made for this key. */
  madeAs?: string
  /** Key that this image was made for. */
  madeFor?: string
}

/** Root file systems as EROFS images by content: from registries, from local tars and from builds. */
export class ImageStore {
  readonly #options: ImageStoreOptions
  /** Images that are being made, by key: two builds from one image share the work. */
  readonly #making = new Map<string, Promise<StoredImage>>()

  constructor(options: ImageStoreOptions) {
    this.#options = options
  }

  get dir(): string {
    return this.#options.dir
  }

  /** Creates the folder if it is missing. */
  async open(): Promise<void> {
    await mkdir(this.#options.dir, { recursive: true, mode: 0o700 })
  }

  /** Like `open`, and removes half-written files of a crash. Only a server may call this, before its first build. */
  async prepare(): Promise<void> {
    const { dir } = this.#options
    await this.open()
    // folder of former versions
    await rm(join(dir, 'blobs'), { recursive: true, force: true })
    await removeUnfinished(dir)
  }

  /**
   * Resolves a name to Sandlot's base image, an image that an administrator has mapped, or one from a registry. A pulled
   * image is only reused when the registry accepts the credentials of this request.
   * @throws SandlotError invalid_request, disk_full, and the signal's reason
   */
  async resolve(
    image: string,
    { login, owner, log = () => {}, signal }: ResolveOptions,
  ): Promise<StoredImage> {
    const name = parseImageName(image)
    const mapped = (await this.#names())[name.full]
    if (mapped) {
      const found = await this.find(mapped)
      if (found) return found
      throw new SandlotError(
        'invalid_request',
        `image '${name.full}' is mapped to a file that is gone: map it again`,
      )
    }
    if (isBaseImage(name)) {
      const { key, path } = this.#options.baseImage
      return { key, imagePath: path, environment: INITIAL_ENVIRONMENT }
    }
    const { puller } = this.#options
    if (!puller) throw new SandlotError('invalid_request', `image '${name.full}' is not on this machine`)
    const pulled = await puller.open(name, join(this.#options.dir, `${WRITING_PREFIX}${randomUUID()}`), {
      login: login && (await passwordFor(login)),
      owner,
      limits: await this.#limits(),
      signal,
    })
    try {
      const key = digest([ADAPTATION, name.registry, name.repository, pulled.digest])
      return await this.#once(key, signal, () => this.#pull(key, name, pulled, log))
    } finally {
      await pulled.close()
    }
  }

  /**
   * Maps a name to an image that is made from a local tar of a root file system.
   * @param imagerPath program that reads the tar in a jail
   */
  async map(image: string, tar: string, imagerPath: string): Promise<StoredImage> {
    const name = parseImageName(image)
    const hash = createHash('sha256')
    await pipeline(createReadStream(tar), hash)
    const key = digest([ADAPTATION, hash.digest('hex')])
    const record = { source: tar, environment: INITIAL_ENVIRONMENT }
    const stored =
      (await this.find(key)) ??
      (await this.make(key, record, async (file) => {
        await packTar(imagerPath, tar, name, file, await this.#limits())
      }))
    const names = { ...(await this.#names()), [name.full]: key }
    await this.#write(NAMES, names)
    return stored
  }

  /** Counts as a use of the image. */
  async find(key: string): Promise<StoredImage | undefined> {
    try {
      const { environment, madeAs } = await this.#record(key)
      if (madeAs !== undefined) return await this.find(madeAs)
      const imagePath = this.pathOf(key)
      const now = new Date()
      await utimes(imagePath, now, now)
      return { key, imagePath, environment }
    } catch {
      return undefined
    }
  }

  /** Creates the image `key`. `pack` writes the image and may use the work folder, which is removed afterwards. */
  async make(
    key: string,
    record: ImageRecord,
    pack: (image: string, work: string) => Promise<void>,
  ): Promise<StoredImage> {
    const { dir } = this.#options
    const work = join(dir, `${WRITING_PREFIX}${randomUUID()}`)
    await mkdir(work, { mode: 0o700 })
    try {
      const image = join(work, 'image.erofs')
      await pack(image, work)
      await this.#write(`${key}.json`, record)
      await rename(image, this.pathOf(key))
      return { key, imagePath: this.pathOf(key), environment: record.environment }
    } finally {
      await rm(work, { recursive: true, force: true })
    }
  }

  /**
   * Like `make`, for content that is not reproducible: creates a new image, which `find` returns for `key` from now on.
   * Checkpoints keep the earlier image that they were made with, because their memory only fits that image.
   */
  async makeVersion(
    key: string,
    record: ImageRecord,
    pack: (image: string, work: string) => Promise<void>,
  ): Promise<StoredImage> {
    const madeAs = digest([key, randomUUID()])
    const stored = await this.make(madeAs, { ...record, madeFor: key }, pack)
    await this.#write(`${key}.json`, { ...record, madeAs })
    return stored
  }

  /** Links the image `key` into another store, or copies it when that store is on another disk. */
  async linkTo(other: ImageStore, key: string): Promise<void> {
    const found = await this.find(key)
    if (!found || (await other.find(key))) return
    await other.open()
    const record = await this.#record(found.key)
    await other.make(found.key, record, (image) =>
      link(found.imagePath, image).catch(() => copyFile(found.imagePath, image, constants.COPYFILE_FICLONE)),
    )
    const { madeFor } = record
    if (madeFor !== undefined && !(await other.find(madeFor)))
      await other.#write(`${madeFor}.json`, { ...record, madeFor: undefined, madeAs: found.key })
  }

  async list(): Promise<ListedImage[]> {
    const names = Object.entries(await this.#names())
    const found: ListedImage[] = []
    for (const file of await readdir(this.#options.dir).catch(() => [])) {
      const key = /^([0-9a-f]{40})\.erofs$/.exec(file)?.[1]
      if (!key) continue
      const { size, mtimeMs } = await stat(this.pathOf(key))
      const { source } = await this.#record(key).catch(() => ({ source: 'unknown' }))
      const own = names.filter(([, mapped]) => mapped === key).map(([name]) => name)
      found.push({ key, sizeBytes: size, usedAtMs: mtimeMs, names: own, source })
    }
    return found.sort((a, b) => a.usedAtMs - b.usedAtMs)
  }

  /** Removes an image; the caller must make sure that the image is not in use. */
  async remove(key: string): Promise<void> {
    const { madeFor } = await this.#record(key).catch(() => ({ madeFor: undefined }))
    const latest = madeFor && (await this.#record(madeFor).catch(() => undefined))
    if (latest && latest.madeAs === key) await rm(this.#recordPath(madeFor), { force: true })
    for (const file of [this.pathOf(key), this.#recordPath(key)]) await rm(file, { force: true })
  }

  async #pull(
    key: string,
    name: ImageName,
    { env, layerCount, sizeBytes, write }: PulledImage,
    log: (message: string) => void,
  ): Promise<StoredImage> {
    log(`Pulling ${name.full}: ${layerCount} layers, ${toMB(sizeBytes)} MB`)
    const environment = { ...INITIAL_ENVIRONMENT, envVars: environmentOf(env) }
    const started = performance.now()
    let finished: FinishedImage | undefined
    const stored = await this.make(key, { source: name.full, environment }, async (file) => {
      finished = await write(file, environment.envVars.PATH)
    })
    const seconds = ((performance.now() - started) / 1000).toFixed(1)
    log(`Pulled and packed an image of ${toMB(finished!.sizeBytes)} MB in ${seconds} s`)
    if (finished!.skipped > 0) log(`Left out ${finished!.skipped} devices, pipes or other special files`)
    return stored
  }

  /** Finds or creates an image, one caller at a time; when a caller gives up, the next one creates the image. */
  async #once(key: string, signal: AbortSignal, make: () => Promise<StoredImage>): Promise<StoredImage> {
    for (let running = this.#making.get(key); running; running = this.#making.get(key))
      await unlessAborted(
        signal,
        running.catch(() => undefined),
      )
    const making = (async () => (await this.find(key)) ?? make())()
    const settled = making.finally(() => this.#making.delete(key))
    this.#making.set(key, settled)
    return settled
  }

  /** Returns the limits of a new image, judged by the free space. @throws SandlotError disk_full */
  async #limits(): Promise<FileLimits> {
    const { bavail, bsize } = await statfs(this.#options.dir)
    const { spareBytes = SPARE_BYTES } = this.#options
    const freeBytes = bavail * bsize - spareBytes
    if (freeBytes <= 0)
      throw new SandlotError('disk_full', `${this.#options.dir} has no room for another image`)
    return { maxBytes: Math.min(MAX_IMAGE_BYTES, freeBytes), spareBytes }
  }

  async #names(): Promise<Record<string, string>> {
    const text = await readFile(join(this.#options.dir, NAMES), 'utf8').catch(() => '{}')
    return JSON.parse(text) as Record<string, string>
  }

  async #record(key: string): Promise<ImageRecord> {
    return JSON.parse(await readFile(this.#recordPath(key), 'utf8')) as ImageRecord
  }

  async #write(file: string, content: unknown): Promise<void> {
    const text = JSON.stringify(content, null, 2)
    await writeFileAtomically(join(this.#options.dir, file), text, { isFlushed: true })
  }

  #recordPath = (key: string): string => join(this.#options.dir, `${key}.json`)

  pathOf = (key: string): string => join(this.#options.dir, `${key}.erofs`)

  /** @returns the key of an image in this store, undefined for images elsewhere, e.g. the base image */
  keyOf(imagePath: string): string | undefined {
    return dirname(imagePath) === this.#options.dir ? basename(imagePath, '.erofs') : undefined
  }
}

/** Parses `NAME=value` lines of an image's configuration. */
function environmentOf(lines: string[]): Record<string, string> {
  return Object.fromEntries(
    lines.flatMap((line) => {
      const split = line.indexOf('=')
      return split > 0 ? [[line.slice(0, split), line.slice(split + 1)]] : []
    }),
  )
}
