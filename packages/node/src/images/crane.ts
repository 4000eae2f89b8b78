import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import { CommandError, run } from '../run.ts'
import type { ImageName } from './image-name.ts'

const ASK_TIMEOUT_MS = 60_000
const BLOB_TIMEOUT_MS = 30 * 60_000

export interface RemoteLayer {
  /** `sha256:…` of the compressed bytes. */
  digest: string
  sizeBytes: number
}

export interface RemoteImage {
  layers: RemoteLayer[]
  configDigest: string
  config: { Env?: string[]; User?: string; WorkingDir?: string }
}

/** One image in a registry, asked through `crane`. */
export interface RegistryClient {
  describe(name: ImageName): Promise<RemoteImage>
  /** Writes the layer to `file`; its digest is checked on the way. */
  download(name: ImageName, layer: RemoteLayer, file: string): Promise<void>
  /** Forgets the credentials. */
  close(): Promise<void>
}

/** @param login absent: as anybody */
export async function openRegistry(
  cranePath: string,
  login: { registry: string; username: string; password: string } | undefined,
): Promise<RegistryClient> {
  // never on a command line, where every process of the machine could read them
  const configDir = await mkdtemp(join(tmpdir(), 'sandlot-crane-'))
  const auths = login
    ? {
        [login.registry === 'docker.io' ? 'https://index.docker.io/v1/' : login.registry]: {
          auth: Buffer.from(`${login.username}:${login.password}`).toString('base64'),
        },
      }
    : {}
  await writeFile(join(configDir, 'config.json'), JSON.stringify({ auths }), { mode: 0o600 })
  const env = { ...process.env, DOCKER_CONFIG: configDir }
  const platform = `linux/${process.arch === 'arm64' ? 'arm64' : 'amd64'}`

  async function crane(name: ImageName, args: string[], timeoutMs: number): Promise<string> {
    try {
      return (await run(cranePath, args, { timeoutMs, env })).stdout
    } catch (cause) {
      throw explain(name, cause as CommandError, login !== undefined)
    }
  }

  return {
    async describe(name) {
      const ask = (what: string) => crane(name, [what, '--platform', platform, name.full], ASK_TIMEOUT_MS)
      const manifest = JSON.parse(await ask('manifest')) as {
        config?: { digest: string }
        layers?: Array<{ digest: string; size: number }>
      }
      if (!manifest.config || !manifest.layers)
        throw new SandlotError('invalid_request', `image '${name.full}' has no manifest for ${platform}`)
      const { config = {} } = JSON.parse(await ask('config')) as { config?: RemoteImage['config'] }
      const layers = manifest.layers.map(({ digest, size }) => ({ digest, sizeBytes: size }))
      return { layers, configDigest: manifest.config.digest, config }
    },
    async download(name, layer, file) {
      const blob = `${name.registry}/${name.repository}@${layer.digest}`
      try {
        await run('bash', ['-c', '"$1" blob "$2" > "$3"', 'bash', cranePath, blob, file], {
          timeoutMs: BLOB_TIMEOUT_MS,
          env,
        })
      } catch (cause) {
        throw explain(name, cause as CommandError, login !== undefined)
      }
    },
    close: () => rm(configDir, { recursive: true, force: true }),
  }
}

/** crane's words in those of the one who asked for the image. */
export function explain(name: ImageName, error: CommandError, hasLogin: boolean): SandlotError {
  const words = error instanceof CommandError ? error.stderr.trim().split('\n').at(-1)! : String(error)
  const say = (text: string) => new SandlotError('invalid_request', text, { cause: error })
  if (/UNAUTHORIZED|DENIED|unauthorized|\b40[13]\b/.test(words))
    return say(
      hasLogin
        ? `registry '${name.registry}' refused the credentials for image '${name.full}'`
        : `registry '${name.registry}' gives image '${name.full}' to nobody without credentials, or does not have it`,
    )
  if (/MANIFEST_UNKNOWN|NAME_UNKNOWN|NOT_FOUND|\b404\b/.test(words))
    return say(`image '${name.full}' was not found in registry '${name.registry}'`)
  if (
    /no such host|connection refused|i\/o timeout|network is unreachable|no route to host|server misbehaving|EOF|timed out/.test(
      words + error.message,
    )
  )
    return say(
      `registry '${name.registry}' cannot be reached for image '${name.full}'. Without it an administrator can give the image a local file: sandlot images map ${name.full} ./rootfs.tar`,
    )
  return say(`image '${name.full}' cannot be pulled: ${words.slice(-300)}`)
}
