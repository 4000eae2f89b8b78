import { execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { connect, createServer as createTcpServer } from 'node:net'
import { createServer } from 'node:tls'

const MICROSOCKS = '/usr/bin/microsocks'

export interface SocksServer {
  port: number
  close(): Promise<void>
}

/** Runs microsocks, a SOCKS5 server that sends all connections to their destinations. Installs it where it is absent. */
export async function startSocksServer(
  address: string,
  login?: { username: string; password: string },
): Promise<SocksServer> {
  if (!existsSync(MICROSOCKS)) install()
  const port = await freePort(address)
  const options = login ? ['-u', login.username, '-P', login.password] : []
  const child = spawn(MICROSOCKS, ['-i', address, '-p', String(port), ...options], { stdio: 'ignore' })
  await untilListening(address, port)
  return {
    port,
    close: () =>
      new Promise((resolve) => {
        child.once('exit', () => resolve())
        child.kill()
      }),
  }
}

/** Speaks TLS in front of a SOCKS server, at an address of both. */
export async function startTlsFront(
  socks: { host: string; port: number },
  certificate: { key: string; cert: string },
  maxVersion: 'TLSv1.1' | 'TLSv1.3' = 'TLSv1.3',
): Promise<SocksServer> {
  const ciphers = maxVersion === 'TLSv1.1' ? { ciphers: 'DEFAULT@SECLEVEL=0' } : {}
  const versions = { minVersion: maxVersion === 'TLSv1.1' ? 'TLSv1.1' : 'TLSv1.2', maxVersion } as const
  const server = createServer({ ...certificate, ...ciphers, ...versions }, (client) => {
    const upstream = connect(socks)
    client.on('error', () => upstream.destroy())
    upstream.on('error', () => client.destroy())
    client.pipe(upstream).pipe(client)
  })
  server.on('tlsClientError', () => {})
  await new Promise<void>((resolve) => server.listen(0, socks.host, resolve))
  return {
    port: (server.address() as { port: number }).port,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
}

function install(): void {
  const command = 'apt-get update -q && apt-get install -y --no-install-recommends microsocks'
  try {
    execFileSync('sh', ['-c', command], { stdio: 'pipe' })
  } catch (error) {
    throw new Error(`microsocks could not be installed; install it by hand: ${command}`, { cause: error })
  }
}

async function freePort(address: string): Promise<number> {
  const server = createTcpServer()
  await new Promise<void>((resolve) => server.listen(0, address, resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

async function untilListening(address: string, port: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect(port, address)
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
    if (isOpen) return
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  throw new Error(`microsocks does not listen on ${address}:${port}`)
}
