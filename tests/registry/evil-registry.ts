import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Readable } from 'node:stream'
import { gunzipSync } from 'node:zlib'

const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'

export interface EvilAnswer {
  status?: number
  headers?: Record<string, string>
  /** Absent: the registry never answers. */
  body?: Buffer | string | Readable
}

export interface EvilRegistry {
  /** `127.0.0.1:<port>`. */
  host: string
  /** Paths of all requests. */
  asked: string[]
  /** Bytes of streamed bodies that clients have read. */
  sentBytes(): number
  close(): Promise<void>
}

export const digestOf = (content: Buffer | string): string =>
  `sha256:${createHash('sha256').update(content).digest('hex')}`

const isGzip = (content: Buffer): boolean => content[0] === 0x1f && content[1] === 0x8b

/** An image of tars, plain or gzipped, in a registry's form. */
export function imageOf(layers: Buffer[], described: Array<{ digest: string; size: number }> = []) {
  const config = JSON.stringify({
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    config: {},
    rootfs: {
      type: 'layers',
      diff_ids: layers.map((layer) => digestOf(isGzip(layer) ? gunzipSync(layer) : layer)),
    },
  })
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: digestOf(config),
      size: config.length,
    },
    layers: layers.map((layer, index) => ({
      mediaType: 'application/vnd.oci.image.layer.v1.tar',
      ...(described[index] ?? { digest: digestOf(layer), size: layer.length }),
    })),
  })
  const blobs = new Map([config, ...layers].map((blob) => [digestOf(blob), blob]))
  return { manifest, blobs }
}

/**
 * A registry that answers whatever a test wants: `evil` decides first and may leave a request to the image. Names of
 * images are ignored.
 */
export async function startEvilRegistry(
  port: number,
  image: ReturnType<typeof imageOf>,
  evil: (path: string, request: IncomingMessage) => EvilAnswer | undefined = () => undefined,
): Promise<EvilRegistry> {
  const asked: string[] = []
  let sentBytes = 0
  const honest = (path: string): EvilAnswer => {
    if (path === '/v2/') return { body: '{}' }
    if (path.includes('/manifests/'))
      return { headers: { 'content-type': MANIFEST_TYPE }, body: image.manifest }
    const blob = image.blobs.get(path.split('/').at(-1)!)
    return blob === undefined ? { status: 404, body: '{}' } : { body: blob }
  }
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const path = request.url ?? ''
    asked.push(path)
    const { status = 200, headers, body } = evil(path, request) ?? honest(path)
    if (body === undefined) return
    response.writeHead(status, headers)
    if (typeof body === 'string' || Buffer.isBuffer(body)) return void response.end(body)
    body.on('data', (chunk: Buffer) => void (sentBytes += chunk.length))
    body.pipe(response)
    response.once('close', () => body.destroy())
  }).listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    host: `127.0.0.1:${port}`,
    asked,
    sentBytes: () => sentBytes,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
