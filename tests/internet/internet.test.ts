import { execFile, spawn } from 'node:child_process'
import dgram from 'node:dgram'
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import net from 'node:net'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { PORTS } from './addresses.ts'
import { InternetControl } from './control.ts'
import { type Internet, openInternet } from './internet.ts'

const run = promisify(execFile)

let internet: Internet
let control: InternetControl

beforeAll(async () => {
  internet = await openInternet()
  control = new InternetControl(internet)
}, 60_000)
afterAll(() => internet?.close(), 30_000)

/** Runs curl with the internet's resolver and authority. */
const curl = async (...args: string[]): Promise<string> => {
  const common = ['-sS', '-m', '10', '--cacert', internet.caFile]
  return (await run('curl', [...common, ...args], { maxBuffer: 2 ** 24, env: { PATH: process.env.PATH } }))
    .stdout
}
const at = (name: string, port = 443) => ['--resolve', `${name}:${port}:${internet.addresses.web}`]

const resolver = (address = internet.addresses.dns) => {
  const resolver = new Resolver({ timeout: 3_000, tries: 1 })
  resolver.setServers([address])
  return resolver
}

test('names lead to its addresses, wildcards too, and missing ones are reported', async () => {
  const { web, other, blackhole } = internet.addresses
  expect(await resolver().resolve4('Allowed.TEST')).toEqual([web])
  expect(await resolver().resolve4('deep.sub.allowed.test')).toEqual([web])
  expect(await resolver().resolve4('many.test')).toEqual([blackhole, other, web])
  expect(await resolver(internet.addresses.otherDns).resolve4('alias-of-denied.test')).toEqual([other])
  expect(await resolver().resolve4('truncated.test')).toHaveLength(3)
  await expect(resolver().resolve4('missing.test')).rejects.toThrow('ENOTFOUND')
})

test('names of package registries are asked of the resolver of the machine', async () => {
  expect(await resolver().resolve4('registry.npmjs.org')).toEqual(
    await new Resolver().resolve4('registry.npmjs.org'),
  )
})

test('a name can be changed', async () => {
  await control.setName('rebind.test', { a: ['10.0.0.1'] })
  expect(await resolver().resolve4('rebind.test')).toEqual(['10.0.0.1'])
})

test('web servers speak HTTP/1.1 and HTTP/2, with and without TLS, and record requests with their headers', async () => {
  await curl('-H', 'X-Tried: plain', ...at('allowed.test', 80), 'http://allowed.test/first')
  await curl('--http2', ...at('allowed.test'), 'https://allowed.test/first?over=tls')
  expect(await control.requestsFor('/first')).toMatchObject([
    { isEncrypted: false, httpVersion: '1.1', port: 80, headers: { 'x-tried': 'plain' } },
    { isEncrypted: true, httpVersion: '2.0', serverName: 'allowed.test', path: '/first?over=tls' },
  ])
})

test('certificates are trusted for all names but two', async () => {
  for (const name of ['wrong-certificate.test', 'untrusted.test'])
    await expect(curl(...at(name), `https://${name}/`)).rejects.toThrow(/certificate|SSL/)
})

test('bodies go both ways', async () => {
  const sent = await curl(
    '--data-binary',
    'x'.repeat(100_000),
    ...at('allowed.test'),
    'https://allowed.test/upload',
  )
  expect(JSON.parse(sent)).toMatchObject({ sizeBytes: 100_000 })
  expect(await curl(`http://${internet.addresses.web}/bytes/3000000`)).toHaveLength(3_000_000)
  expect(await curl(`http://${internet.addresses.web}/events/3?everyMs=1`)).toBe(
    'data: 0\n\ndata: 1\n\ndata: 2\n\n',
  )
})

test('WebSockets work', async () => {
  const socket = new WebSocket(`ws://${internet.addresses.web}/socket`)
  const message = new Promise((resolve) => {
    socket.onmessage = ({ data }) => resolve(data)
  })
  await new Promise((resolve) => {
    socket.onopen = resolve
  })
  socket.send('hello')
  expect(await message).toBe('hello')
  socket.close()
})

test('echo answers over TCP and UDP, and a server speaks first', async () => {
  const socket = net.connect(PORTS.serverFirst, internet.addresses.echo)
  expect(String((await once(socket, 'data'))[0])).toBe('220 ready\r\n')
  socket.destroy()
  const udp = dgram.createSocket('udp4')
  udp.send('datagram', 9_000, internet.addresses.echo)
  const [text, peer] = await once(udp, 'message', { signal: AbortSignal.timeout(5_000) })
  expect([String(text), peer.address]).toEqual(['datagram', internet.addresses.echo])
  udp.close()
})

test('SOCKS5 servers connect to names, with a password and over TLS', async () => {
  const through = (proxy: string) =>
    curl('--proxy', proxy, '--proxy-cacert', internet.caFile, 'http://allowed.test/by-socks')
  const { socks } = internet.addresses
  await through(`socks5h://${socks}:${PORTS.socks}`)
  await through(`socks5h://user:pass@${socks}:${PORTS.socksWithPassword}`)
  await expect(through(`socks5h://user:no@${socks}:${PORTS.socksWithPassword}`)).rejects.toThrow()
  expect(await control.requestsFor('/by-socks')).toHaveLength(2)
  expect((await control.records()).socks.filter((line) => line.includes('allowed.test'))).toHaveLength(2)
})

test('what a crashed run left is removed by a later one', async () => {
  const module = JSON.stringify(new URL('internet.ts', import.meta.url).href)
  const program = `const { openInternet } = await import(${module}); console.log((await openInternet()).range); setInterval(() => {}, 1000)`
  const crashing = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const range = String((await once(crashing.stdout, 'data'))[0]).trim()
  crashing.kill('SIGKILL')
  await once(crashing, 'exit')
  const next = await openInternet()
  expect(next.range).toBe(range)
  await next.close()
})

test('a second internet has other addresses, and nothing of one is left after its end', async () => {
  const second = await openInternet()
  expect(second.range).not.toBe(internet.range)
  const { namespace } = second
  await second.close()
  expect((await run('ip', ['netns'])).stdout).not.toMatch(new RegExp(`^${namespace}\\b`, 'm'))
  expect((await run('ip', ['route'])).stdout).not.toContain(second.addresses.web)
  expect((await run('nft', ['list', 'tables'])).stdout).not.toMatch(new RegExp(`ip ${namespace}$`, 'm'))
})
