import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { DAY_MS } from '@sandlot/protocol'
import { beforeEach, expect, it, onTestFinished } from 'vitest'
import { interceptedWorld } from '../test-support/intercepted-world.ts'
import { http1Server, newTestAuthority } from '../test-support/tls-servers.ts'
import { openEgressAuthority } from './authority.ts'

const run = promisify(execFile)
let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sandlot-egress-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
})

const certificatesOf = (bundle: string): X509Certificate[] =>
  (bundle.match(/-----BEGIN[^-]*-----[^-]*-----END[^-]*-----/g) ?? []).map((pem) => new X509Certificate(pem))

it('is made once, also by two processes at a time, and only its owner reads the key', async () => {
  const [first, second] = await Promise.all([openEgressAuthority(directory), openEgressAuthority(directory)])
  expect(first.caBundle()).toBe(second.caBundle())
  expect((await openEgressAuthority(directory)).caBundle()).toBe(first.caBundle())
  expect((await stat(join(directory, 'egress.pem'))).mode & 0o777).toBe(0o600)
  expect(await readdir(directory)).toEqual(['egress.pem'])
  expect(first.caBundle()).not.toContain('PRIVATE')
})

it('may sign for TLS servers with names only, not for addresses', async () => {
  const authority = await openEgressAuthority(directory)
  await writeFile(join(directory, 'ca.pem'), authority.caBundle())
  const { stdout } = await run('openssl', ['x509', '-noout', '-text', '-in', join(directory, 'ca.pem')])
  expect(stdout).toMatch(/Name Constraints: critical\s+Excluded:\s+DNS:localhost\s+IP:0\.0\.0\.0\/0\.0\.0\.0/)
  expect(stdout).toContain('TLS Web Server Authentication')
  expect(stdout).toContain('pathlen:0')
})

it('issues a certificate of a few days for the name alone, and keeps it', async () => {
  const authority = await newTestAuthority()
  const server = http1Server(await authority.leafFor('api.example.com'), () => {})
  const world = await interceptedWorld(server, { policy: {} })
  const [first, second] = [await world.connect(), await world.connect()]
  const { subjectaltname, valid_from, valid_to, fingerprint } = first.getPeerCertificate()
  expect(subjectaltname).toBe('DNS:api.example.com')
  expect(Date.parse(valid_from)).toBeLessThan(Date.now() - DAY_MS / 2)
  expect(Date.parse(valid_to)).toBeLessThan(Date.now() + 8 * DAY_MS)
  expect(second.getPeerCertificate().fingerprint).toBe(fingerprint)
  expect(first.getProtocol()).toBe('TLSv1.3')
})

it('keeps a bounded number of certificates', async () => {
  const authority = await openEgressAuthority(directory)
  const first = await authority.contextFor('a.example.com')
  expect(await authority.contextFor('a.example.com')).toBe(first)
  await Promise.all(Array.from({ length: 512 }, (_, i) => authority.contextFor(`n${i}.example.com`)))
  expect(await authority.contextFor('a.example.com')).not.toBe(first)
})

it('announces the next authority a year before it signs', async () => {
  let now = Date.now()
  const first = (await openEgressAuthority(directory, () => now)).caBundle()
  const end = certificatesOf(first)[0]!.validToDate.getTime()
  now = end - 300 * DAY_MS
  const both = (await openEgressAuthority(directory, () => now)).caBundle()
  expect(both.startsWith(first)).toBe(true)
  expect(certificatesOf(both)).toHaveLength(2)
  now = end - 20 * DAY_MS
  const running = await openEgressAuthority(directory, () => now)
  expect(first + running.caBundle()).toBe(both)
  expect((await openEgressAuthority(directory, () => now)).caBundle()).toBe(running.caBundle())
  expect(await readdir(directory)).toEqual(['egress.pem'])
})

it('uses the next authority without a restart', async () => {
  let now = Date.now()
  const authority = await openEgressAuthority(directory, () => now)
  const [first] = certificatesOf(authority.caBundle())
  now = first!.validToDate.getTime() - 300 * DAY_MS
  await authority.contextFor('a.example.com')
  const [, next] = certificatesOf(authority.caBundle())
  now = first!.validToDate.getTime() - 20 * DAY_MS
  await authority.contextFor('b.example.com')
  expect(certificatesOf(authority.caBundle())[0]!.fingerprint).toBe(next!.fingerprint)
})

it('says which file is damaged', async () => {
  await writeFile(join(directory, 'egress.pem'), 'hello')
  await expect(openEgressAuthority(directory)).rejects.toThrow(/egress\.pem.*no key or no certificate/)
  expect(await readFile(join(directory, 'egress.pem'), 'utf8')).toBe('hello')
})
