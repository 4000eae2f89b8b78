import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { type AddressInfo, isIP } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { issueLeaf, type Leaf, readAuthority, readKeyPem } from '@sandlot/certificates'
import { DAY_MS } from '@sandlot/protocol'
import { beforeAll, describe, expect, it } from 'vitest'
import { openCertificateStore } from './certificate-store.ts'
import { temporaryDirectory } from './test-support/temporary-directory.ts'

const run = promisify(execFile)
const newDirectory = () => join(temporaryDirectory(), 'ca')
const read = (directory: string, file: string) => readFileSync(join(directory, file), 'utf8')

/** Issues a certificate as a thief of `ca.key` could. */
async function forge(directory: string, names: string[]): Promise<Leaf> {
  const keys = await readKeyPem(read(directory, 'ca.key'))
  return issueLeaf(await readAuthority(read(directory, 'ca.pem'), keys), names, Date.now())
}

/** Connects to `port` of 127.0.0.1 (or ::1) and verifies the certificate against `name`. Rejects when the client refuses it. */
type Client = (directory: string, port: number, name: string) => Promise<unknown>

const literal = (name: string) => (isIP(name) === 6 ? `[${name}]` : name)

const node: Client = (directory, port, name) => {
  const program = `
const { connect } = require('node:tls')
const name = ${JSON.stringify(name)}
const options = { host: '127.0.0.1', port: ${port}, servername: ${isIP(name) ? `''` : 'name'} }
const { checkServerIdentity } = require('node:tls')
options.checkServerIdentity = (_, certificate) => checkServerIdentity(name, certificate)
connect(options, () => process.exit(0)).on('error', (e) => { console.error(e); process.exit(1) })`
  const env = { ...process.env, NODE_EXTRA_CA_CERTS: join(directory, 'ca-bundle.pem') }
  return run(process.execPath, ['-e', program], { env, timeout: 10_000 })
}

const curl: Client = (directory, port, name) => {
  const to = `${literal(name)}:${port}:127.0.0.1:${port}`
  const url = `https://${literal(name)}:${port}/`
  return run('curl', ['-sS', '--cacert', join(directory, 'ca.pem'), '--connect-to', to, url], {
    timeout: 10_000,
  })
}

const python: Client = (directory, port, name) => {
  const program = `
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
context.verify_flags |= ssl.VERIFY_X509_STRICT
with socket.create_connection(('127.0.0.1', int(sys.argv[2]))) as raw, context.wrap_socket(raw, server_hostname=sys.argv[3]): pass`
  return run('python3', ['-c', program, join(directory, 'ca-bundle.pem'), String(port), name], {
    timeout: 10_000,
  })
}

let goClient: string
const go: Client = (directory, port, name) =>
  run(goClient, [join(directory, 'ca.pem'), `127.0.0.1:${port}`, name], { timeout: 10_000 })

const GO_CLIENT = `package main

import ("crypto/tls"; "crypto/x509"; "fmt"; "os")

func main() {
	pem, _ := os.ReadFile(os.Args[1])
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	connection, err := tls.Dial("tcp", os.Args[2], &tls.Config{RootCAs: pool, ServerName: os.Args[3]})
	if err != nil { fmt.Fprintln(os.Stderr, err); os.Exit(1) }
	connection.Close()
}
`

async function ask(client: Client, directory: string, leaf: Leaf, name: string): Promise<unknown> {
  const server = createServer({ cert: leaf.certificatePem, key: leaf.keyPem }, (_, response) =>
    response.end('hello'),
  )
  server.on('tlsClientError', () => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    return await client(directory, (server.address() as AddressInfo).port, name)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

beforeAll(async () => {
  const folder = temporaryDirectory()
  writeFileSync(join(folder, 'client.go'), GO_CLIENT)
  goClient = join(folder, 'client')
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/local/go/bin`, CGO_ENABLED: '0' }
  await run('go', ['build', '-o', goClient, join(folder, 'client.go')], { env, cwd: folder })
}, 120_000)

describe.each([
  ['Node', node],
  ['curl', curl],
  ['Python', python],
  ['Go', go],
] as [string, Client][])('%s', (_, client) => {
  it('accepts the certificates that the server issues', async () => {
    const directory = newDirectory()
    const store = await openCertificateStore(directory, 'sandlot.localhost:3000')
    for (const name of ['8080-x.sandlot.localhost', 'sandlot.localhost', 'localhost', '127.0.0.1', '::1'])
      await ask(client, directory, await store.defaultLeaf(), name)
  })

  it.each(['example.com', 'xsandlot.example', '10.0.0.1', '127.0.0.2', '2001:db8::1'])(
    'refuses a certificate for %s, although it is signed with the key of the CA',
    async (name) => {
      const directory = newDirectory()
      await openCertificateStore(directory, 'sandlot.localhost:3000')
      const error = await ask(client, directory, await forge(directory, [name]), name).then(
        () => undefined,
        ({ stderr, code, killed }) => ({ stderr, code, killed }),
      )
      expect(error, 'the forged certificate was accepted').toBeDefined()
      expect(error?.killed).toBe(false)
      expect(error?.stderr).toMatch(/certificate|permitted|constraint/i)
    },
  )
})

describe('the CA', () => {
  it('signs only for the names of its server, for TLS servers only, for at most three years', async () => {
    const directory = newDirectory()
    await openCertificateStore(directory, 'sandboxes.example.com:3000', ['192.0.2.7'])
    const { stdout } = await run('openssl', ['x509', '-noout', '-text', '-in', join(directory, 'ca.pem')])
    const constraints = /Name Constraints: critical\n([\s\S]*?)\n {12}X509v3/.exec(stdout)?.[1]
    expect(constraints?.split('\n').map((line) => line.trim())).toEqual([
      'Permitted:',
      'DNS:localhost',
      'DNS:sandboxes.example.com',
      'IP:127.0.0.1/255.255.255.255',
      'IP:0:0:0:0:0:0:0:1/FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF',
      'IP:192.0.2.7/255.255.255.255',
    ])
    expect(stdout).toContain('TLS Web Server Authentication')
    const { validTo } = new X509Certificate(read(directory, 'ca.pem'))
    expect(Date.parse(validTo) - Date.now()).toBeLessThan(3 * 365 * DAY_MS)
  })

  it('of an earlier version, without constraints, is replaced with another key', async () => {
    const directory = newDirectory()
    await openCertificateStore(directory, 'sandlot.localhost')
    const key = join(directory, 'ca.key')
    const request = ['req', '-x509', '-new', '-key', key, '-subj', '/CN=Sandlot local CA', '-days', '3650']
    await run('openssl', [...request, '-out', join(directory, 'ca.pem')])
    const oldKey = read(directory, 'ca.key')
    const store = await openCertificateStore(directory, 'sandlot.localhost')
    expect(store.replacedBecause).toBe('it could sign for every name')
    expect(read(directory, 'ca.key')).not.toBe(oldKey)
    expect(read(directory, 'ca-bundle.pem')).toContain(read(directory, 'ca.pem').trim())
    expect((await openCertificateStore(directory, 'sandlot.localhost')).replacedBecause).toBeUndefined()
  })

  it('is replaced when the domain or the addresses change', async () => {
    const directory = newDirectory()
    await openCertificateStore(directory, 'sandlot.localhost')
    const reopen = async (domain: string, hosts?: string[]) =>
      (await openCertificateStore(directory, domain, hosts)).replacedBecause
    expect(await reopen('boxes.test')).toBe(
      'it was created for localhost, sandlot.localhost, and this server is localhost, boxes.test',
    )
    expect(await reopen('boxes.test', ['192.0.2.7'])).toBe('this server now answers on 192.0.2.7 too')
    expect(await reopen('boxes.test')).toBe('this server no longer answers on 192.0.2.7')
    expect(await reopen('boxes.test')).toBeUndefined()
  })

  it('is renewed with its key while the server runs, long before it expires', async () => {
    const directory = newDirectory()
    let now = Date.now()
    const store = await openCertificateStore(directory, 'sandlot.localhost', undefined, () => now)
    const before = new X509Certificate(read(directory, 'ca.pem'))
    await store.defaultLeaf()
    now = Date.parse(before.validTo) - 150 * DAY_MS
    const leaf = new X509Certificate((await store.defaultLeaf()).certificatePem)
    const after = new X509Certificate(read(directory, 'ca.pem'))
    expect(Date.parse(after.validTo)).toBeGreaterThan(Date.parse(before.validTo))
    expect(leaf.verify(before.publicKey)).toBe(true)
    expect(leaf.checkIssued(before)).toBe(true)
    expect(read(directory, 'ca-bundle.pem')).toContain(read(directory, 'ca.pem').trim())
  })
})
