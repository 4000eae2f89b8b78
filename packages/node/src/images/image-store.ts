import { createHash } from 'node:crypto'
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
  writeFile,
} from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { SandlotError } from '@sandlot/protocol'
import { type BuildEnvironment, digest, INITIAL_ENVIRONMENT, type RegistryLogin } from '../builder/recipe.ts'
import { ADAPTATION, adaptRoot } from './adapt-root.ts'
import { openRegistry, type RegistryClient, type RemoteImage } from './crane.ts'
import { passwordFor } from './ecr-login.ts'
import { type ImageName, isBaseImage, parseImageName } from './image-name.ts'
import { packFolder } from './pack.ts'
import { listLayer, unpackLayer } from './unpack-layer.ts'

const WORK = '.writing-'
const NAMES = 'names.json'
const MAX_LAYERS = 127
const MAX_UNPACKED_BYTES = 64 * 2 ** 30
/** An unpacked root and the image made of it lie beside each other for a while. */
const COPIES = 2
const SPARE_BYTES = 512 * 2 ** 20
const DOWNLOADS_AT_ONCE = 3

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
  /** Names that are mapped to it. */
  names: string[]
  /** What it was made from. */
  source: string
}

export interface ImageStoreOptions {
  /** `<home>/images`. */
  dir: string
  baseImage: { path: string; key: string }
  /** Path of `crane`; installed when it is asked for first. */
  crane: () => Promise<string>
}

interface ImageRecord {
  source: string
  environment: BuildEnvironment
}

/** Root file systems as EROFS images, by content; from registries, from local tars, and those that builds make. */
export class ImageStore {
  readonly #options: ImageStoreOptions
  /** By key: two builds from one image make it once. */
  readonly #making = new Map<string, Promise<StoredImage>>()

  constructor(options: ImageStoreOptions) {
    this.#options = options
  }

  /** Makes the folder when it is missing. */
  async open(): Promise<void> {
    await mkdir(join(this.#options.dir, 'blobs'), { recursive: true, mode: 0o700 })
  }

  /** The same, and removes what a crash left half made: only a server may, before it builds. */
  async prepare(): Promise<void> {
    const { dir } = this.#options
    await this.open()
    for (const name of await readdir(dir))
      if (name.startsWith(WORK)) await rm(join(dir, name), { recursive: true, force: true })
  }

  /**
   * The image of that name: our base, one that an administrator mapped, or one pulled from its registry.
   * @throws SandlotError invalid_request, disk_full
   */
  async resolve(
    image: string,
    login?: RegistryLogin,
    log: (message: string) => void = () => {},
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
    const registry = await openRegistry(
      await this.#options.crane(),
      login && { registry: name.registry, ...(await passwordFor(login)) },
    )
    try {
      const remote = await registry.describe(name)
      const key = digest([ADAPTATION, remote.configDigest, remote.layers])
      return await this.#once(
        key,
        async () => (await this.find(key)) ?? this.#pull(key, name, remote, registry, log),
      )
    } finally {
      await registry.close()
    }
  }

  /** Makes a local tar of a root file system the image of that name. */
  async map(image: string, tar: string): Promise<StoredImage> {
    const name = parseImageName(image)
    const hash = createHash('sha256')
    await pipeline(createReadStream(tar), hash)
    const key = digest([ADAPTATION, hash.digest('hex')])
    const content = await listLayer(tar)
    const stored =
      (await this.find(key)) ??
      (await this.#make(key, { source: tar, environment: INITIAL_ENVIRONMENT }, async (root) => {
        await this.#checkSpace(content.sizeBytes)
        await unpackLayer(tar, content, root)
        await adaptRoot(root, name.full)
      }))
    const names = { ...(await this.#names()), [name.full]: key }
    await this.#write(NAMES, names)
    return stored
  }

  /** Finding it counts as use. */
  async find(key: string): Promise<StoredImage | undefined> {
    const imagePath = this.pathOf(key)
    try {
      const { environment } = await this.#record(key)
      const now = new Date()
      await utimes(imagePath, now, now)
      return { key, imagePath, environment }
    } catch {
      return undefined
    }
  }

  /** Makes the image of `key`; `pack` writes it and may use the work folder, which is thrown away. */
  async make(
    key: string,
    record: ImageRecord,
    pack: (image: string, work: string) => Promise<void>,
  ): Promise<StoredImage> {
    const { dir } = this.#options
    const work = join(dir, `${WORK}${key}-${process.pid}`)
    await rm(work, { recursive: true, force: true })
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

  /** Lets another store have the image of `key` too, without its bytes twice when both are on one disk. */
  async linkTo(other: ImageStore, key: string): Promise<void> {
    const found = await this.find(key)
    if (!found || (await other.find(key))) return
    await other.open()
    await other.make(key, await this.#record(key), (image) =>
      link(found.imagePath, image).catch(() => copyFile(found.imagePath, image, constants.COPYFILE_FICLONE)),
    )
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

  /** It may be in use: that is the caller's to know. */
  async remove(key: string): Promise<void> {
    for (const file of [this.pathOf(key), join(this.#options.dir, `${key}.json`)])
      await rm(file, { force: true })
  }

  /** Layers of registries are only kept so that the next image on the same ground needs not pull them again. */
  async removeBlobs(olderThanMs: number): Promise<void> {
    const dir = join(this.#options.dir, 'blobs')
    for (const name of await readdir(dir))
      if ((await stat(join(dir, name))).mtimeMs < olderThanMs) await rm(join(dir, name), { force: true })
  }

  async #pull(
    key: string,
    name: ImageName,
    remote: RemoteImage,
    registry: RegistryClient,
    log: (message: string) => void,
  ): Promise<StoredImage> {
    if (remote.layers.length > MAX_LAYERS)
      throw new SandlotError('invalid_request', `image '${name.full}' has more than ${MAX_LAYERS} layers`)
    const { config } = remote
    const pulledBytes = remote.layers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    await this.#checkSpace(pulledBytes)
    log(`Pulling ${name.full}: ${remote.layers.length} layers, ${toMB(pulledBytes)} MB`)
    const blobs = await this.#blobs(name, remote, registry)
    const contents = await Promise.all(blobs.map(listLayer))
    await this.#checkSpace(contents.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0))
    const environment = { ...INITIAL_ENVIRONMENT, envVars: environmentOf(config.Env ?? []) }
    return this.#make(key, { source: name.full, environment }, async (root) => {
      for (const [index, blob] of blobs.entries()) await unpackLayer(blob, contents[index]!, root)
      await adaptRoot(root, name.full, environment.envVars.PATH)
    })
  }

  async #blobs(name: ImageName, { layers }: RemoteImage, registry: RegistryClient): Promise<string[]> {
    const dir = join(this.#options.dir, 'blobs')
    const files = layers.map((layer) => join(dir, layer.digest.replace(':', '-')))
    const todo = [...new Map(layers.map((layer, index) => [files[index]!, layer]))]
    const work = async () => {
      for (let next = todo.shift(); next; next = todo.shift()) {
        const [file, layer] = next
        if (await stat(file).catch(() => undefined)) continue
        const writing = `${file}.${process.pid}-${Math.trunc(performance.now())}`
        try {
          await registry.download(name, layer, writing)
          await rename(writing, file)
        } finally {
          await rm(writing, { force: true })
        }
      }
    }
    await Promise.all(Array.from({ length: DOWNLOADS_AT_ONCE }, work))
    return files
  }

  #make(key: string, record: ImageRecord, fill: (root: string) => Promise<void>): Promise<StoredImage> {
    return this.make(key, record, async (image, work) => {
      const root = join(work, 'root')
      await mkdir(root, { mode: 0o755 })
      await fill(root)
      await packFolder(root, image)
    })
  }

  #once(key: string, make: () => Promise<StoredImage>): Promise<StoredImage> {
    const running = this.#making.get(key) ?? make().finally(() => this.#making.delete(key))
    this.#making.set(key, running)
    return running
  }

  /** @throws SandlotError disk_full, invalid_request */
  async #checkSpace(unpackedBytes: number): Promise<void> {
    if (unpackedBytes > MAX_UNPACKED_BYTES)
      throw new SandlotError(
        'invalid_request',
        `the image unpacks to ${toMB(unpackedBytes)} MB; at most ${toMB(MAX_UNPACKED_BYTES)} MB are taken`,
      )
    const { bavail, bsize } = await statfs(this.#options.dir)
    const neededBytes = unpackedBytes * COPIES + SPARE_BYTES
    if (bavail * bsize < neededBytes)
      throw new SandlotError(
        'disk_full',
        `unpacking the image takes ${toMB(neededBytes)} MB and ${this.#options.dir} has ${toMB(bavail * bsize)} MB left`,
      )
  }

  async #names(): Promise<Record<string, string>> {
    const text = await readFile(join(this.#options.dir, NAMES), 'utf8').catch(() => '{}')
    return JSON.parse(text) as Record<string, string>
  }

  async #record(key: string): Promise<ImageRecord> {
    return JSON.parse(await readFile(join(this.#options.dir, `${key}.json`), 'utf8')) as ImageRecord
  }

  async #write(file: string, content: unknown): Promise<void> {
    const writing = join(this.#options.dir, `${WORK}${process.pid}-${file}`)
    await writeFile(writing, JSON.stringify(content, null, 2), { mode: 0o600, flush: true })
    await rename(writing, join(this.#options.dir, file))
  }

  pathOf = (key: string): string => join(this.#options.dir, `${key}.erofs`)

  /** The key of an image of this store; undefined: it lies elsewhere, as the base does. */
  keyOf(imagePath: string): string | undefined {
    return dirname(imagePath) === this.#options.dir ? basename(imagePath, '.erofs') : undefined
  }
}

/** `NAME=value` lines of an image's configuration. */
function environmentOf(lines: string[]): Record<string, string> {
  return Object.fromEntries(
    lines.flatMap((line) => {
      const split = line.indexOf('=')
      return split > 0 ? [[line.slice(0, split), line.slice(split + 1)]] : []
    }),
  )
}

const toMB = (bytes: number): number => Math.ceil(bytes / 2 ** 20)
