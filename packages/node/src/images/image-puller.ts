import { readFile, rename } from 'node:fs/promises'
import { SandlotError } from '@sandlot/protocol'
import { OPEN } from '@sandlot/protocol/node'
import { DNS_ADDRESS } from '../network/dns-address.ts'
import { explainFailure } from './explain-failure.ts'
import { type FileLimits, ImageFile } from './image-file.ts'
import { type ImageMachine, type ImageMachineHost, startImageMachine } from './image-machine.ts'
import type { ImageName } from './image-name.ts'
import { type FinishedImage, ImageRefusal, type ResolvedImage, readResolved } from './imager-answers.ts'
import { RegistryRelay } from './registry-relay.ts'

/** Space for packed layers that wait for lower layers; not a limit of the image's size. */
const DISK_SIZE_MB = 32 * 1024
/** Where distributions store certificates of trusted authorities, including those of an administrator. */
const AUTHORITIES = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt']
const MAX_AUTHORITIES_BYTES = 2 * 2 ** 20

export interface ImagePullerOptions extends ImageMachineHost {
  baseImage: { path: string }
  /** Registries that may have private addresses: `host:port`, or `host` for 443 and 80. */
  allowedRegistries: readonly string[]
  /** Private ranges that machines can reach directly. */
  allowedRanges: readonly string[]
}

export interface PullOptions {
  login?: { username: string; password: string }
  /** Team that waits for the image. */
  owner: string
  limits: FileLimits
  signal: AbortSignal
}

/** An image whose registry has accepted the credentials of the request. */
export interface PulledImage extends ResolvedImage {
  /** Writes the root file system to `target`, as an EROFS image. @throws SandlotError, and the signal's reason */
  write(target: string, searchPath: string | undefined): Promise<FinishedImage>
  close(): Promise<void>
}

/** Pulls images, each in a separate machine. */
export class ImagePuller {
  readonly #options: ImagePullerOptions

  constructor(options: ImagePullerOptions) {
    this.#options = options
  }

  /**
   * @param path new file for the image, on the disk of the other images
   * @throws SandlotError invalid_request, and the signal's reason
   */
  async open(
    name: ImageName,
    path: string,
    { login, owner, limits, signal }: PullOptions,
  ): Promise<PulledImage> {
    const { allowedRegistries, allowedRanges, baseImage } = this.#options
    const source = {
      imagePath: baseImage.path,
      diskSizeMB: DISK_SIZE_MB,
      network: OPEN,
      owner,
    }
    const file = await ImageFile.create(path)
    let machine: ImageMachine | undefined
    let relay: RegistryRelay | undefined
    const close = async () => {
      relay?.close()
      await machine?.end()
      await file.remove()
    }
    try {
      machine = await startImageMachine(this.#options, source, file, limits, signal)
      const { client, address, write } = machine
      if (allowedRegistries.length > 0) relay = new RegistryRelay({ address, allowedRegistries })
      const request = {
        name: name.full,
        ...login,
        allowedRegistries,
        allowedRanges,
        authorities: await readAuthorities(),
      }
      const ask = () => client.ask('POST', '/resolve', request, signal).then(readResolved)
      const resolved = await explained(name, login !== undefined, ask)
      return {
        ...resolved,
        close,
        async write(target, searchPath) {
          const order = { of: 'registry', resolver: DNS_ADDRESS, searchPath } as const
          const finished = await explained(name, login !== undefined, () => write(order))
          await rename(file.path, target)
          return finished
        },
      }
    } catch (error) {
      await close()
      throw error
    }
  }
}

async function explained<T>(name: ImageName, hasLogin: boolean, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof ImageRefusal) throw explainFailure(name, error.failure, hasLogin)
    throw error
  }
}

async function readAuthorities(): Promise<string> {
  for (const file of AUTHORITIES) {
    const text = await readFile(file, 'utf8').catch(() => '')
    if (text.length > MAX_AUTHORITIES_BYTES)
      throw new SandlotError('invalid_request', `${file} has more than ${MAX_AUTHORITIES_BYTES} bytes`)
    if (text) return text
  }
  return ''
}
