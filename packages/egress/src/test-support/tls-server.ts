import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect, createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer, type TLSSocket, connect as tlsConnect } from 'node:tls'

/** An HTTPS server that answers with the server name that it saw. */
export interface TlsTestServer {
  connections: number
  /** Server names that it saw. */
  names: string[]
  /** Returns the ClientHello that Node sends for a name. */
  helloOf(name: string): Promise<Buffer>
  close(): Promise<void>
}

export async function startTlsServer(address: string, port = 443): Promise<TlsTestServer> {
  const names: string[] = []
  const server = createServer(selfSigned(), (socket) => {
    const name = String((socket as TLSSocket & { servername: unknown }).servername)
    names.push(name)
    socket.on('error', () => {})
    socket.once('data', () => {
      socket.end(`HTTP/1.1 200 OK\r\ncontent-length: ${name.length}\r\nconnection: close\r\n\r\n${name}`)
    })
  })
  const state: TlsTestServer = {
    ...{ connections: 0, names, helloOf },
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
  server.on('connection', () => state.connections++)
  server.on('tlsClientError', () => {})
  await new Promise<void>((resolve) => server.listen(port, address, resolve))
  return state
}

/** Makes a certificate that nobody trusts. */
export function selfSigned(subject = '/CN=test'): { key: string; cert: string } {
  const directory = mkdtempSync(join(tmpdir(), 'egress-test-'))
  const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')]
  const name = subject.slice('/CN='.length)
  execFileSync(
    'openssl',
    [
      ...[
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-days',
        '2',
      ],
      ...['-keyout', key, '-out', cert, '-subj', subject, '-addext', `subjectAltName=DNS:${name}`],
    ],
    { stdio: 'ignore' },
  )
  const pair = { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') }
  rmSync(directory, { recursive: true })
  return pair
}

async function helloOf(servername: string): Promise<Buffer> {
  const server = createTcpServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const accepted = new Promise<Buffer>((resolve) =>
    server.once('connection', (socket) =>
      socket.once('data', (bytes) => {
        socket.destroy()
        resolve(bytes)
      }),
    ),
  )
  const { port } = server.address() as { port: number }
  const client = tlsConnect({ socket: connect(port, '127.0.0.1'), servername })
  client.on('error', () => {})
  const hello = await accepted
  client.destroy()
  await new Promise((resolve) => server.close(resolve))
  return hello
}
