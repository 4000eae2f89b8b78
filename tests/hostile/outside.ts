import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'

const ip = async (...args: string[]): Promise<void> => {
  await promisify(execFile)('ip', args, { timeout: 10_000 })
}

export interface Outside {
  /** A public address that exists only on this machine, in a network namespace of its own. */
  address: string
  /** Addresses of private ranges in the same namespace: reachable from the host, not meant for sandboxes. */
  privateAddresses: string[]
  /** A public address on a network that the host itself lies on. */
  onLinkAddress: string
  /** Speaks HTTP and UDP; HTTP answers `outside`, and at `/datagrams` what arrived over UDP. */
  port: number
  close: () => Promise<void>
}

const program = `
const datagrams = []
const socket = require('node:dgram').createSocket('udp4')
socket.on('message', (message) => datagrams.push(String(message)))
socket.bind(8080)
require('node:http').createServer((request, response) =>
  response.end(request.url === '/datagrams' ? JSON.stringify(datagrams) : 'outside')
).listen(8080, '0.0.0.0', () => console.log('listening'))`

/**
 * Plays the internet: a namespace with a web server at a public address behind a router, so that tests need no
 * network and disturb none. The address is one of 11.0.0.0/8, which is assigned and not announced to the internet: of
 * no range that is blocked for all sandboxes, and on no network that the host itself lies on.
 */
export async function openOutside({ alsoRouted = [] }: { alsoRouted?: string[] } = {}): Promise<Outside> {
  const block = process.pid % 250
  const first = 4 * (process.pid % 60)
  const [near, far] = [`10.254.${block}.${first + 1}`, `10.254.${block}.${first + 2}`]
  const [onLinkNear, onLinkAddress] = [`11.214.${block}.${first + 1}`, `11.214.${block}.${first + 2}`]
  const address = `11.213.${block}.${first + 2}`
  const privateAddresses = [
    `10.213.${block}.2`,
    `100.99.${block}.2`,
    `169.254.${block}.2`,
    `172.29.${block}.2`,
    `192.168.${block}.213`,
    `198.18.${block}.2`,
  ]
  const namespace = `outside-${process.pid}`
  const link = `out${process.pid}`
  const close = async () => {
    server?.kill('SIGKILL')
    await ip('link', 'del', link).catch(() => {})
    await ip('netns', 'del', namespace).catch(() => {})
  }
  let server: ReturnType<typeof spawn> | undefined
  try {
    await ip('netns', 'add', namespace)
    await ip('link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace)
    await ip('addr', 'add', `${near}/30`, 'dev', link)
    await ip('link', 'set', link, 'up')
    await ip('-n', namespace, 'addr', 'add', `${far}/30`, 'dev', 'eth0')
    await ip('addr', 'add', `${onLinkNear}/30`, 'dev', link)
    await ip('-n', namespace, 'addr', 'add', `${onLinkAddress}/30`, 'dev', 'eth0')
    await ip('-n', namespace, 'link', 'set', 'eth0', 'up')
    await ip('-n', namespace, 'link', 'set', 'lo', 'up')
    await ip('-n', namespace, 'route', 'add', 'default', 'via', near)
    for (const other of [address, ...alsoRouted, ...privateAddresses]) {
      await ip('-n', namespace, 'addr', 'add', `${other}/32`, 'dev', 'lo')
      await ip('route', 'add', `${other}/32`, 'via', far)
    }
    server = spawn('ip', ['netns', 'exec', namespace, process.execPath, '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(server.stdout!, 'data', { signal: AbortSignal.timeout(10_000) })
    return { address, privateAddresses, onLinkAddress, port: 8080, close }
  } catch (error) {
    await close()
    throw error
  }
}
