import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Prefix of the name of a kernel's temporary connection folder; the name of the language follows. */
export const FOLDER_PREFIX = 'kernel-of-'

const CHANNELS = ['shell', 'iopub', 'stdin', 'control', 'hb'] as const
export type Channel = (typeof CHANNELS)[number]

/** Sockets of one kernel, in a folder that only its owner may enter. */
export interface Connection {
  /** The connection file that the kernel is started with. */
  file: string
  key: string
  address(channel: Channel): string
  remove(): Promise<void>
}

export async function createConnection(language: string, transport: 'ipc' | 'tcp'): Promise<Connection> {
  const folder = await mkdtemp(join(tmpdir(), `${FOLDER_PREFIX}${encodeURIComponent(language)}-`))
  const key = randomBytes(32).toString('hex')
  const ip = transport === 'ipc' ? join(folder, 'socket') : '127.0.0.1'
  const ports = transport === 'ipc' ? CHANNELS.map((_, index) => index + 1) : await freePorts(CHANNELS.length)
  const file = join(folder, 'connection.json')
  const described = Object.fromEntries(CHANNELS.map((channel, index) => [`${channel}_port`, ports[index]]))
  await writeFile(
    file,
    JSON.stringify({ transport, ip, key, signature_scheme: 'hmac-sha256', ...described }),
    {
      mode: 0o600,
    },
  )
  return {
    file,
    key,
    address: (channel) =>
      `${transport}://${ip}${transport === 'ipc' ? '-' : ':'}${described[`${channel}_port`]}`,
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

/** Finds free ports; all are kept open until the last is found, so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }),
  )
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  return ports
}
