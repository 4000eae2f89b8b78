import { setTimeout as delay } from 'node:timers/promises'
import { type ConnectionOpts, Sandbox } from 'e2b-official'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { mountPlainDisk, type PlainDisk } from '../plain-disk.ts'
import { type Cluster, startCluster } from '../postgres/cluster.ts'
import { connectionTo, homeOf, runSandlot, sandlot, startServer, type TestServer } from '../server.ts'
import { type TestVolume, VolumeClient } from '../volume-client.ts'

const FLAGS = ['--pool-min', '1', '--pool-max', '1']

let cluster: Cluster
beforeAll(async () => {
  cluster = await startCluster()
}, 120_000)
afterAll(() => cluster?.remove())

const optionsOf = (server: TestServer): ConnectionOpts => ({
  ...connectionTo(server.info()),
  requestTimeoutMs: 30_000,
})

test.each([
  ['mysql://me:secret@db/sandlot', 'setting store is "(not shown)" (from SANDLOT_STORE); it must be'],
  ['postgres://me:secret@127.0.0.1:1/sandlot', 'nothing listens at 127.0.0.1:1'],
  ['postgres://me:secret@no-such-host.invalid/sandlot', "no host 'no-such-host.invalid:5432' is known here"],
])('a start with the store %s is one sentence and exit code 1', async (store, reason) => {
  for (const command of [['up'], ['keys', 'list']]) {
    const { code, output, errors } = await runSandlot([...command, '--home', homeOf('no-store')], {
      SANDLOT_STORE: store,
    })
    expect(code).toBe(1)
    expect(errors).toContain(reason)
    expect(errors.trim().split('\n')).toHaveLength(1)
    expect(errors + output).not.toContain('secret')
  }
  await sandlot(['purge', '--yes', '--home', homeOf('no-store')])
})

test('the error names a database that does not exist', async () => {
  const { code, errors } = await runSandlot(['up', '--home', homeOf('no-store')], {
    SANDLOT_STORE: cluster.url('nowhere'),
  })
  expect([code, errors]).toEqual([1, expect.stringContaining("there is no database 'nowhere'")])
  await sandlot(['purge', '--yes', '--home', homeOf('no-store')])
})

describe('two servers on one database, with one folder of volumes that cannot map owners', () => {
  let first: TestServer
  let second: TestServer
  let starting: Promise<TestServer>
  let sandboxId: string
  let volume: TestVolume
  let disk: PlainDisk

  beforeAll(async () => {
    await cluster.query('postgres', 'create database shared')
    disk = mountPlainDisk('store-volumes')
    const flags = [...FLAGS, '--volumes-dir', disk.path, '--volume-kind', 'folder', '--sandbox-users', 'root']
    const env = { SANDLOT_STORE: cluster.url('shared') }
    first = await startServer({
      name: 'store-a',
      port: 13_143,
      networkRange: '10.156.0.0/16',
      flags,
      env,
    })
    starting = startServer({
      name: 'store-b',
      port: 13_144,
      networkRange: '10.157.0.0/16',
      flags,
      env,
    })
    starting.catch(() => {})
  }, 600_000)
  afterAll(async () => {
    await first?.purge()
    await second?.purge()
    disk?.unmount()
  }, 120_000)

  test('the second server waits, and `sandlot status` says for which server', async () => {
    const client = new VolumeClient(first.info())
    volume = await client.create({ name: 'shared' })
    await client.write(volume, '/first', 'of the first server')
    const volumeMounts = { '/mnt/data': volume.name }
    const sandbox = await Sandbox.create({ ...optionsOf(first), timeoutMs: 900_000, volumeMounts })
    sandboxId = sandbox.sandboxId
    await sandbox.commands.run('cat /mnt/data/first; echo mine > /mnt/data/by-user')
    await sandbox.commands.run('exec 3>> /mnt/data/log; while sleep 0.2; do echo tick >&3; done', {
      background: true,
      timeoutMs: 0,
    })
    const status = () => runSandlot(['status', '--home', homeOf('store-b')])
    await expect
      .poll(async () => (await status()).output, { timeout: 300_000, interval: 500 })
      .toMatch(/standby, does not listen while .*\(pid \d+, home .*store-a.*\) is the active server/)
    expect((await status()).code).toBe(1)
  }, 320_000)

  test('the second server takes over when the first dies, and does not touch the sandboxes of the other home', async () => {
    await first.kill()
    second = await starting
    expect(second.log()).toContain('standby: another server is the active one')
    const { E2B_API_URL, E2B_API_KEY } = second.info().env
    const answer = await fetch(`${E2B_API_URL}/sandboxes/${sandboxId}`, {
      headers: { 'X-API-Key': E2B_API_KEY! },
    })
    expect([answer.status, ((await answer.json()) as { message: string }).message]).toEqual([
      409,
      expect.stringMatching(/is on '.+', whose server is not the active one/),
    ])
    const client = new VolumeClient(second.info())
    const again = await client.get(volume.volumeID)
    const ticks = async () => (await client.read(again, '/log')).length
    const seen = await ticks()
    await expect.poll(ticks).toBeGreaterThan(seen)
    await expect(client.delete(again)).rejects.toMatchObject({
      status: 409,
      message: expect.stringContaining(sandboxId),
    })
    const own = await Sandbox.create({ ...optionsOf(second), volumeMounts: { '/data': volume.name } })
    const { stdout } = await own.commands.run(
      'cat /data/first; stat -c %U /data/by-user; echo 2 > /data/second',
    )
    expect(stdout).toBe('of the first serveruser\n')
    await own.kill()
    expect(await cluster.query('shared', `select state from sandboxes where id = '${sandboxId}'`)).toEqual([
      'running',
    ])
  }, 120_000)

  test('the first server comes back as standby, and its sandbox runs when the server is active again', async () => {
    const back = first.start()
    await delay(2_000)
    await second.stop()
    await back
    const sandbox = await Sandbox.connect(sandboxId, optionsOf(first))
    expect((await sandbox.commands.run('cat /mnt/data/second')).stdout).toBe('2\n')
    await sandbox.kill()
  }, 120_000)
})

test('an instance moves from SQLite to PostgreSQL with everything it has', async () => {
  await cluster.query('postgres', 'create database moved')
  const env: Record<string, string> = {}
  const server = await startServer({
    name: 'store-moves',
    port: 13_145,
    networkRange: '10.158.0.0/16',
    flags: FLAGS,
    env,
  })
  try {
    const options = optionsOf(server)
    const running = await Sandbox.create({ ...options, timeoutMs: 900_000 })
    const paused = await Sandbox.create({ ...options, timeoutMs: 900_000 })
    await paused.files.write('/home/user/kept', 'kept')
    await paused.pause()
    const from = `sqlite:${server.info().home}/db.sqlite`
    const copy = () => runSandlot(['db', 'copy', '--from', from, '--to', cluster.url('moved')])
    expect((await copy()).errors).toMatch(/the server of .* runs \(pid \d+\)/)
    await server.stop()
    const copied = await copy()
    expect([copied.code, copied.output]).toEqual([
      0,
      expect.stringMatching(/sandboxes +2\n(.*\n)*in all +\d+\n/),
    ])
    expect((await copy()).errors).toContain('the target is not empty')
    env.SANDLOT_STORE = cluster.url('moved')
    await server.start()
    const again = await Sandbox.connect(paused.sandboxId, options)
    expect(await again.files.read('/home/user/kept')).toBe('kept')
    expect((await (await Sandbox.connect(running.sandboxId, options)).commands.run('echo on')).stdout).toBe(
      'on\n',
    )
    const events = await cluster.query(
      'moved',
      `select count(*) from events where sandbox_id = '${paused.sandboxId}'`,
    )
    expect(Number(events[0])).toBeGreaterThanOrEqual(3)
    for (const { sandboxId } of [running, paused]) expect(await Sandbox.kill(sandboxId, options)).toBe(true)
  } finally {
    await server.purge()
  }
}, 600_000)
