import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { promisify } from 'node:util'
import { DAY_MS } from '@sandlot/protocol'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openCertificateStore } from './certificate-store.ts'
import { createListener, type Listener } from './listener.ts'
import { temporaryDirectory } from './test-support/temporary-directory.ts'

const run = promisify(execFile)
const newDirectory = () => join(temporaryDirectory(), 'ca')

/** Returns the certificate that a client receives, without verification. */
function shownBy(port: number, servername?: string): Promise<X509Certificate> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, servername, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerX509Certificate() as X509Certificate)
      socket.destroy()
    })
    socket.once('error', reject)
  })
}

describe('the local CA', () => {
  it('is created once and kept, with a key that only the owner can read', async () => {
    const directory = newDirectory()
    const first = await openCertificateStore(directory, 'sandlot.localhost:3000')
    const pem = readFileSync(first.caPath, 'utf8')
    expect(statSync(join(directory, 'ca.key')).mode & 0o777).toBe(0o600)
    await openCertificateStore(directory, 'sandlot.localhost:3000')
    expect(readFileSync(first.caPath, 'utf8')).toBe(pem)
  })

  it('is one CA for two processes that start concurrently', async () => {
    const directory = newDirectory()
    const stores = await Promise.all(
      [1, 2, 3, 4].map(() => openCertificateStore(directory, 'sandlot.localhost')),
    )
    const ca = new X509Certificate(readFileSync(stores[0]!.caPath))
    for (const store of stores) {
      expect(new X509Certificate((await store.defaultLeaf()).certificatePem).verify(ca.publicKey)).toBe(true)
    }
  })

  it('stays the same CA when only the key survived a crash', async () => {
    const directory = newDirectory()
    const { caPath } = await openCertificateStore(directory, 'sandlot.localhost')
    const before = new X509Certificate(readFileSync(caPath))
    rmSync(caPath)
    await openCertificateStore(directory, 'sandlot.localhost')
    const after = new X509Certificate(readFileSync(caPath))
    expect(after.subject).toBe(before.subject)
    expect(after.publicKey.equals(before.publicKey)).toBe(true)
  })

  it('reports which files to remove when the key is broken', async () => {
    const directory = newDirectory()
    await openCertificateStore(directory, 'sandlot.localhost')
    writeFileSync(join(directory, 'ca.key'), 'broken')
    await expect(openCertificateStore(directory, 'sandlot.localhost')).rejects.toMatchObject({
      name: 'SandlotError',
      message: expect.stringContaining(join(directory, 'ca.key')),
    })
  })

  it('is in the bundle, after the authorities that the system trusts', async () => {
    const store = await openCertificateStore(newDirectory(), 'sandlot.localhost')
    const bundle = readFileSync(store.bundlePath, 'utf8')
    expect(bundle.trimEnd().endsWith(readFileSync(store.caPath, 'utf8').trim())).toBe(true)
    expect(bundle.match(/BEGIN CERTIFICATE/g)!.length).toBeGreaterThan(50)
  })
})

describe('a leaf', () => {
  it('is valid for at most 397 days and renewed before it ends', async () => {
    let now = Date.now()
    const store = await openCertificateStore(newDirectory(), 'sandlot.localhost', undefined, () => now)
    const first = await store.defaultLeaf()
    expect(first.expiresAtMs - now).toBeLessThanOrEqual(397 * DAY_MS)
    expect((await store.defaultLeaf()).certificatePem).toBe(first.certificatePem)
    now = first.expiresAtMs - 10 * DAY_MS
    expect((await store.defaultLeaf()).certificatePem).not.toBe(first.certificatePem)
  })

  it('serves all sandboxes as a wildcard, or one name where wildcards are refused', async () => {
    const wide = await openCertificateStore(newDirectory(), 'sandlot.localhost')
    expect(await wide.contextFor('1-a.sandlot.localhost')).toBe(
      await wide.contextFor('2-B.sandlot.localhost'),
    )
    const narrow = await openCertificateStore(newDirectory(), 'localhost:3000')
    expect(await narrow.contextFor('1-a.localhost')).not.toBe(await narrow.contextFor('2-b.localhost'))
  })

  it.each([
    'example.com',
    'a.b.sandlot.localhost',
    '*.sandlot.localhost',
    'xsandlot.localhost',
    '.sandlot.localhost',
  ])('is not issued for %s', async (name) => {
    const store = await openCertificateStore(newDirectory(), 'sandlot.localhost')
    expect(await store.contextFor(name)).toBeUndefined()
  })
})

describe('clients that trust the CA', () => {
  let listener: Listener
  let directory: string
  const name = '8080-iabc.sandlot.localhost'

  beforeAll(async () => {
    directory = newDirectory()
    const tls = await openCertificateStore(directory, 'sandlot.localhost')
    listener = await createListener({
      hosts: ['127.0.0.1', '::1'],
      port: 0,
      tls,
      onRequest: (_, response) => void (response as import('node:http').ServerResponse).end('hello'),
      onUpgrade: (_, socket) => void socket.destroy(),
    })
  })
  afterAll(() => listener.close(0))

  it.each([name, 'sandlot.localhost', 'localhost', undefined])(
    'get a certificate for %s',
    async (servername) => {
      const certificate = await shownBy(listener.port, servername)
      const found = servername ? certificate.checkHost(servername) : certificate.checkIP('127.0.0.1')
      expect(found).toBeDefined()
    },
  )

  it('openssl verifies the chain strictly', async () => {
    for (const servername of [name, 'localhost']) {
      const leaf = join(directory, 'leaf.pem')
      writeFileSync(leaf, (await shownBy(listener.port, servername)).toString())
      const ca = join(directory, 'ca.pem')
      const { stdout } = await run('openssl', [
        'verify',
        '-x509_strict',
        '-purpose',
        'sslserver',
        '-verify_hostname',
        servername,
        '-CAfile',
        ca,
        leaf,
      ])
      expect(stdout.trim()).toBe(`${leaf}: OK`)
    }
  })

  it.each(['ca.pem', 'ca-bundle.pem'])(
    "Python's default context accepts it through %s, strictly",
    async (file) => {
      const program = `
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
context.verify_flags |= ssl.VERIFY_X509_STRICT
for host, name in (('127.0.0.1', '${name}'), ('::1', 'localhost'), ('127.0.0.1', '127.0.0.1')):
    with socket.create_connection((host, ${listener.port})) as raw, context.wrap_socket(raw, server_hostname=name) as s:
        s.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')
        assert b'hello' in b''.join(iter(lambda: s.recv(4096), b''))
print('accepted')`
      const { stdout } = await run('python3', ['-c', program, join(directory, file)], { timeout: 10_000 })
      expect(stdout.trim()).toBe('accepted')
    },
  )

  it('Node accepts it through NODE_EXTRA_CA_CERTS, curl through --cacert', async () => {
    const program = `const r = await fetch('https://localhost:${listener.port}/'); console.log(await r.text())`
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: join(directory, 'ca.pem') }
    const node = await run(process.execPath, ['--input-type=module', '-e', program], { env, timeout: 10_000 })
    expect(node.stdout.trim()).toBe('hello')
    const url = `https://${name}:${listener.port}/`
    const resolve = `${name}:${listener.port}:127.0.0.1`
    const curl = await run('curl', ['-sS', '--cacert', join(directory, 'ca.pem'), '--resolve', resolve, url])
    expect(curl.stdout).toBe('hello')
  })
})
