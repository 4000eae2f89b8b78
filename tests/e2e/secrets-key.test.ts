import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ConnectionOpts, Sandbox, Secret } from 'e2b-official'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectionTo, runSandlot, sandlot, startServer, type TestServer } from '../server.ts'

const VALUE = 'value-of-a-secret-that-no-file-may-hold'

let server: TestServer
let opts: ConnectionOpts
beforeAll(async () => {
  server = await startServer({
    name: 'secrets-key',
    port: 13_161,
    networkRange: '10.161.0.0/16',
    flags: ['--pool-min', '1', '--pool-max', '1'],
  })
  opts = connectionTo(server.info())
  await Secret.create('api', VALUE, opts)
}, 600_000)
afterAll(() => server?.purge(), 60_000)

const keyFile = () => join(server.info().home, 'secrets.key')
const rotate = () => runSandlot(['secrets', 'rotate-key', '--home', server.info().home])

test('a server with a wrong key says so in its log, answers 503 for secrets, and does everything else', async () => {
  const key = readFileSync(keyFile(), 'utf8')
  await server.stop()
  writeFileSync(keyFile(), `${randomBytes(32).toString('hex')}\n`)
  await server.start()
  expect(server.log()).toContain(`the key in ${keyFile()} is not the one that the secrets in the database`)
  await expect(Secret.update('api', 'other', { ...opts, retries: 0 })).rejects.toThrow(
    /the administrator of this server must restore the key/,
  )
  expect((await Secret.getInfo('api', opts)).version).toBe(1)
  const sandbox = await Sandbox.create(opts)
  expect((await sandbox.commands.run('echo works')).stdout).toBe('works\n')
  await sandbox.kill()
  await server.stop()
  writeFileSync(keyFile(), key)
  await server.start()
  expect((await Secret.update('api', VALUE, opts)).version).toBe(2)
}, 120_000)

test('the key is replaced while the server is stopped, and sandboxes go on', async () => {
  const former = readFileSync(keyFile(), 'utf8')
  const sandbox = await Sandbox.create({ ...opts, timeoutMs: 600_000 })
  expect((await rotate()).errors).toMatch(
    /the server of .* runs \(pid \d+\) with the present key: stop it first/,
  )
  await server.kill()
  expect((await rotate()).output).toBe(
    'Encrypted 1 secrets and 0 keys for identity tokens with the new key.\n',
  )
  expect(readFileSync(keyFile(), 'utf8')).not.toBe(former)
  await server.start()
  expect((await Secret.update('api', VALUE, opts)).version).toBe(3)
  expect((await sandbox.commands.run('echo lives')).stdout).toBe('lives\n')
  await sandbox.kill()
}, 120_000)

test('the key moves to the environment, and no file of the home has a value', async () => {
  await server.stop()
  const { home } = server.info()
  const fresh = randomBytes(32).toString('base64')
  const output = await sandlot(['secrets', 'rotate-key', '--home', home], { SANDLOT_SECRETS_KEY: fresh })
  expect(output).toContain('Now remove the former key')
  for (const name of ['db.sqlite', 'env'])
    expect(readFileSync(join(home, name), 'latin1')).not.toContain(VALUE)
  expect(server.log()).not.toContain(VALUE)
}, 60_000)
