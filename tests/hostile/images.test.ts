import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { Sandbox, Template } from 'e2b-official'
import { type Header, pack } from 'tar-stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  digestOf,
  type EvilAnswer,
  type EvilRegistry,
  imageOf,
  startEvilRegistry,
} from '../registry/evil-registry.ts'
import { registryPorts } from '../registry/ports.ts'
import { makeRootfs, tarOf } from '../registry/rootfs.ts'
import { addressOf, asRoot, guest, server } from './guest.ts'
import { openOutside } from './outside.ts'

const BUILD_TIMEOUT_MS = 240_000
const MAX_GROWTH_MB = 150
const [port = 0, otherPort = 0, forbiddenOffset = 0] = registryPorts('hostile')
/** A registry on the loopback that is not in the server's list. */
const FORBIDDEN_PORT = forbiddenOffset + 100
const name = `evil-${process.pid}`
const secret = `SECRET-${process.pid}-${Date.now()}`
const imagesDir = join(server.home, 'images')
let scratch: string
let rootfs: Buffer
let count = 0

type Entry = Partial<Header> & { name: string; content?: string }

async function tar(...entries: Entry[]): Promise<Buffer> {
  const archive = pack()
  for (const { content, ...header } of entries) archive.entry(header, content ?? '')
  archive.finalize()
  return buffer(archive)
}

/** A tar of more empty files than a library would write. */
function tarOfEmpty(count: number, nameOf: (index: number) => string): Buffer {
  const archive = Buffer.alloc(512 * (count + 2))
  for (let i = 0; i < count; i++) {
    const header = archive.subarray(512 * i, 512 * (i + 1))
    header.write(nameOf(i))
    header.write(['0000644', '0000000', '0000000', '00000000000', '00000000000', '        0'].join('\0'), 100)
    header.write(['ustar', '00'].join('\0'), 257)
    const sum = header.reduce((total, byte) => total + byte)
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  }
  return archive
}

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'sandlot-evil-'))
  rootfs = readFileSync(tarOf(makeRootfs(), join(scratch, 'rootfs.tar')))
})
afterAll(async () => {
  rmSync(scratch, { recursive: true, force: true })
  const headers = { 'X-API-Key': server.env.E2B_API_KEY! }
  const listed = await fetch(`${server.env.E2B_API_URL}/templates`, { headers })
  for (const { templateID, aliases } of (await listed.json()) as Array<{
    templateID: string
    aliases: string[]
  }>)
    if (aliases[0]?.startsWith(name))
      await fetch(`${server.env.E2B_API_URL}/templates/${templateID}`, { method: 'DELETE', headers })
}, 60_000)

/** Builds a template. @returns what its author sees, of a success and of a failure */
async function build(template: unknown): Promise<{ name: string; error?: string; log: string }> {
  const built = `${name}-${++count}`
  const lines: string[] = []
  const onBuildLogs = ({ message }: { message: string }) => void lines.push(message)
  const connection = { apiKey: server.env.E2B_API_KEY, apiUrl: server.env.E2B_API_URL }
  const error = await Template.build(template as never, built, {
    ...connection,
    cpuCount: 1,
    onBuildLogs,
  } as never).then(
    () => undefined,
    (thrown: Error) => thrown.message,
  )
  return { name: built, error, log: lines.join('\n') }
}
const buildFrom = (image: string) => build(Template().fromImage(image))

async function withRegistry<T>(
  image: ReturnType<typeof imageOf>,
  evil: ((path: string) => EvilAnswer | undefined) | undefined,
  work: (registry: EvilRegistry) => Promise<T>,
  at = port,
): Promise<T> {
  const registry = await startEvilRegistry(at, image, evil)
  try {
    return await work(registry)
  } finally {
    await registry.close()
  }
}

const memoryMB = (): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))![1]) / 1024

/** Measures how much the server's memory grows at most while `work` runs. */
async function growthMB(work: () => Promise<unknown>): Promise<number> {
  const before = memoryMB()
  let most = before
  const timer = setInterval(() => void (most = Math.max(most, memoryMB())), 50)
  await work().finally(() => clearInterval(timer))
  return most - before
}

const imagesHere = () => readdirSync(imagesDir).filter((file) => file.endsWith('.erofs'))

describe('digests', () => {
  test(
    'that are paths do not reach files of the host',
    async () => {
      const file = join(scratch, 'host.tar')
      writeFileSync(file, await tar({ name: 'stolen', content: secret }))
      const honest = imageOf([rootfs])
      const path = `sha256:${'../'.repeat(20)}${file.slice(1)}`
      const lying = honest.manifest.replaceAll(digestOf(rootfs), path)
      let asked = 0
      const evil = (of: string) => (of.includes('/manifests/') && asked++ === 0 ? { body: lying } : undefined)
      const before = imagesHere()
      const { error, log } = await withRegistry(honest, evil, ({ host }) => buildFrom(`${host}/a/b:c`))
      expect(error).toMatch(/cannot be (used|pulled)/)
      expect(error + log).not.toContain(secret)
      expect(error + log).not.toContain(file)
      expect(imagesHere()).toEqual(before)
    },
    BUILD_TIMEOUT_MS,
  )

  test(
    'that do not match the content are refused, for manifests and layers',
    async () => {
      const honest = imageOf([rootfs])
      const other = imageOf([await tar({ name: 'other', content: 'x' })])
      const secondManifest = (path: string) =>
        /manifests\/sha256:/.test(path) ? { body: other.manifest } : undefined
      const first = await withRegistry(honest, secondManifest, ({ host }) => buildFrom(`${host}/a/b:c`))
      expect(first.error).toMatch(/does not match its digest/)
      const otherLayer = Buffer.concat([rootfs.subarray(0, -512), Buffer.alloc(512, 1)])
      const layer = (path: string) => (path.endsWith(digestOf(rootfs)) ? { body: otherLayer } : undefined)
      const second = await withRegistry(honest, layer, ({ host }) => buildFrom(`${host}/a/b:c`))
      expect(second.error).toMatch(/does not match its digest/)
    },
    BUILD_TIMEOUT_MS,
  )

  test(
    'that a caller merely knows do not give access to a layer that the registry never showed to that caller',
    async () => {
      const honest = imageOf([rootfs, await tar({ name: 'data/private', content: secret })])
      const first = await withRegistry(honest, undefined, ({ host }) => buildFrom(`${host}/a/private:1`))
      expect(first.error).toBeUndefined()
      const keep = (path: string) =>
        path.includes('/blobs/') && !path.endsWith(digestOf(configOf(honest)))
          ? { status: 404, body: '{}' }
          : undefined
      const second = await withRegistry(honest, keep, ({ host }) => buildFrom(`${host}/b/thief:1`), otherPort)
      expect(second.error).toMatch(/was not found/)
      const denied = (path: string) => (path === '/v2/' ? undefined : { status: 403, body: '{}' })
      const third = await withRegistry(honest, denied, ({ host }) => buildFrom(`${host}/a/private:1`))
      expect(third.error).toMatch(/or requires credentials for it/)
    },
    BUILD_TIMEOUT_MS,
  )
})

const configOf = ({ blobs }: ReturnType<typeof imageOf>): string =>
  [...blobs.values()].find((blob) => typeof blob === 'string') as string

describe('content of layers', () => {
  test(
    'devices and pipes in place of files that the build reads are omitted, and nothing hangs',
    async () => {
      const layer = await tar(
        { name: 'etc/passwd', type: 'fifo' },
        { name: 'etc/group', type: 'character-device', devmajor: 1, devminor: 5 },
        { name: 'etc/shadow', type: 'block-device', devmajor: 7, devminor: 77 },
      )
      const image = imageOf([rootfs, layer])
      let built: Awaited<ReturnType<typeof build>> | undefined
      const growth = await growthMB(async () => {
        built = await withRegistry(image, undefined, ({ host }) => buildFrom(`${host}/a/devices:1`))
      })
      expect(built!.error).toBeUndefined()
      expect(built!.log).toContain('Left out 3 devices')
      expect(growth).toBeLessThan(MAX_GROWTH_MB)
      const sandbox = await Sandbox.create(built!.name)
      try {
        expect((await asRoot(sandbox, 'cat /etc/passwd')).stdout).toContain('user:x:1000')
      } finally {
        await sandbox.kill()
      }
    },
    BUILD_TIMEOUT_MS,
  )

  test(
    'two hundred thousand deletions use no memory of the server',
    async () => {
      const packed = gzipSync(tarOfEmpty(200_000, (i) => `data/.wh.${String(i).padStart(90, '0')}`))
      const image = imageOf([rootfs, packed])
      const growth = await growthMB(async () => {
        const { error } = await withRegistry(image, undefined, ({ host }) =>
          buildFrom(`${host}/a/whiteouts:1`),
        )
        expect(error).toBeUndefined()
      })
      expect(growth).toBeLessThan(MAX_GROWTH_MB)
    },
    BUILD_TIMEOUT_MS,
  )

  test(
    'an endless layer is abandoned, and does not fill the disk',
    async () => {
      const layer = Buffer.alloc(1024)
      const image = imageOf([layer], [{ digest: digestOf(layer), size: 2 ** 31 }])
      const endless = (path: string) => {
        if (!path.endsWith(digestOf(layer))) return undefined
        const body = new Readable({ read: () => void body.push(Buffer.alloc(64 * 1024)) })
        return { body }
      }
      await withRegistry(image, endless, async ({ host, sentBytes }) => {
        const { error } = await buildFrom(`${host}/a/endless:1`)
        expect(error).toMatch(/after its end/)
        expect(sentBytes()).toBeLessThan(200 * 2 ** 20)
      })
    },
    BUILD_TIMEOUT_MS,
  )
})

describe('registries at addresses that only the host can reach', () => {
  let forbidden: EvilRegistry
  const banner = { status: 500, body: `internal banner ${secret}` }
  beforeAll(async () => {
    forbidden = await startEvilRegistry(FORBIDDEN_PORT, imageOf([rootfs]), () => banner)
  })
  afterAll(() => forbidden.close())
  const unheard = (error: string | undefined) => {
    expect(error).toMatch(/private address.*allowedRegistries/)
    expect(error).not.toContain(secret)
    expect(forbidden.asked).toEqual([])
  }

  test(
    'are not contacted',
    async () => unheard((await buildFrom(`${forbidden.host}/a/b:c`)).error),
    BUILD_TIMEOUT_MS,
  )

  test.each(['localhost', '0.0.0.0', '127.1', '2130706433', '169.254.169.254', '10.0.0.1'])(
    'are not contacted as %s',
    async (host) => {
      const { error } = await buildFrom(`${host}:${FORBIDDEN_PORT}/a/b:c`)
      expect(error).toMatch(/cannot be reached|is not the name of an image/)
      expect(forbidden.asked).toEqual([])
    },
    BUILD_TIMEOUT_MS,
  )

  test.each(['/v2/', '/manifests/', '/blobs/'])(
    'are not contacted when an allowed registry redirects from %s',
    async (from) => {
      const redirect = (path: string) =>
        path.includes(from)
          ? { status: 307, headers: { location: `http://${forbidden.host}/latest/user-data` }, body: '' }
          : undefined
      const { error } = await withRegistry(imageOf([rootfs]), redirect, ({ host }) =>
        buildFrom(`${host}/a/redirect:1`),
      )
      expect(error).toMatch(/private address|without TLS/)
      expect(error).not.toContain(secret)
      expect(forbidden.asked).toEqual([])
    },
    BUILD_TIMEOUT_MS,
  )

  test(
    'are not contacted for a token',
    async () => {
      const challenge = (path: string) =>
        path === '/v2/'
          ? {
              status: 401,
              headers: { 'www-authenticate': `Bearer realm="http://localhost:${FORBIDDEN_PORT}/token"` },
              body: '{}',
            }
          : undefined
      const { error } = await withRegistry(imageOf([rootfs]), challenge, ({ host }) =>
        buildFrom(`${host}/a/token:1`),
      )
      expect(error).toBeDefined()
      expect(error).not.toContain(secret)
      expect(forbidden.asked).toEqual([])
    },
    BUILD_TIMEOUT_MS,
  )

  test(
    'reveal nothing in an error even when they are allowed',
    async () => {
      const { error } = await withRegistry(
        imageOf([rootfs]),
        () => ({ status: 500, body: `internal banner ${secret}` }),
        ({ host }) => buildFrom(`${host}/a/banner:1`),
      )
      expect(error).toMatch(/answered with status 500/)
      expect(error).not.toContain(secret)
    },
    BUILD_TIMEOUT_MS,
  )

  describe('or in another sandbox', () => {
    const victim = guest({ network: { allowPublicTraffic: false } } as never)
    test(
      'are not contacted',
      async () => {
        const sandbox = victim()
        await sandbox.files.write('/tmp/v2', secret)
        const command = 'cd /tmp && exec python3 -u -m http.server 8080 > /tmp/asked 2>&1'
        await sandbox.commands.run(command, { background: true, timeoutMs: 0 })
        const { error } = await buildFrom(`${await addressOf(sandbox)}:8080/a/b:c`)
        expect(error).toMatch(/private address/)
        expect(error).not.toContain(secret)
        expect((await asRoot(sandbox, 'grep GET /tmp/asked; true')).stdout).toBe('')
      },
      BUILD_TIMEOUT_MS,
    )
  })
})

test(
  'a public registry is called by the machine itself, and never without TLS',
  async () => {
    const outside = await openOutside()
    try {
      const { error } = await buildFrom(`${outside.address}:${outside.port}/a/b:c`)
      expect(error).toMatch(/without TLS/)
    } finally {
      await outside.close()
    }
  },
  BUILD_TIMEOUT_MS,
)

test(
  'a registry that never answers does not keep a template from being deleted',
  async () => {
    const silent = (path: string) => (path.includes('/manifests/') ? {} : undefined)
    await withRegistry(imageOf([rootfs]), silent, async ({ host, asked }) => {
      const building = buildFrom(`${host}/a/silent:1`)
      const deadline = Date.now() + 60_000
      while (!asked.some((path) => path.includes('/manifests/'))) {
        if (Date.now() > deadline) throw new Error('the registry was not asked')
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      const headers = { 'X-API-Key': server.env.E2B_API_KEY! }
      const started = Date.now()
      const answer = await fetch(`${server.env.E2B_API_URL}/templates/${name}-${count}`, {
        method: 'DELETE',
        headers,
        signal: AbortSignal.timeout(20_000),
      })
      expect(answer.status).toBe(204)
      expect(Date.now() - started).toBeLessThan(15_000)
      expect((await building).error).toBeDefined()
    })
  },
  BUILD_TIMEOUT_MS,
)

describe('files without bytes', () => {
  /** Bytes on the disk of the largest image. */
  const largest = () =>
    Math.max(0, ...imagesHere().map((file) => statSync(join(imagesDir, file)).blocks * 512))

  test(
    'take no disk space of the host when a template is packed',
    async () => {
      const { error, log } = await build(
        Template()
          .fromBaseImage()
          .runCmd(
            'head -c 150M /dev/urandom > random; truncate -s 2G sparse; echo kept > kept; ln kept other',
          ),
      )
      expect(error).toBeUndefined()
      expect(log).toContain('Packed an image')
      expect(largest()).toBeLessThan(2 * 2 ** 30)
      const packed = imagesHere().map((file) => statSync(join(imagesDir, file)))
      expect(packed.some(({ size, blocks }) => size - blocks * 512 > 1.9 * 2 ** 30)).toBe(true)
    },
    BUILD_TIMEOUT_MS,
  )

  test(
    'of more than the quota are refused',
    async () => {
      const { error } = await build(
        Template().fromBaseImage().runCmd('head -c 150M /dev/urandom > random; truncate -s 1T sparse'),
      )
      expect(error).toMatch(/cannot be packed: .*more than the allowed \d+ MB/)
    },
    BUILD_TIMEOUT_MS,
  )
})
