import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ConnectionOpts, Sandbox, Template, waitForPort } from 'e2b-official'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectionTo, startServer, type TestServer } from '../server.ts'

const OLD_ENGINE = 'release-20200101.0'
const FILE = '/home/user/kept.txt'

interface Manifest {
  engineVersion: string
  template?: object
}

let server: TestServer
let options: ConnectionOpts

beforeAll(async () => {
  server = await startServer({
    name: 'renewal',
    port: 13_148,
    networkRange: '10.158.0.0/16',
    // paused sandboxes are on disk at once
    flags: ['--pool-min', '1', '--pool-max', '2', '--log-level', 'info', '--hot-pause-seconds', '0'],
  })
  options = connectionTo(server.info())
}, 300_000)
afterAll(() => server?.purge(), 120_000)

const checkpointsDir = () => join(server.info().home, 'checkpoints')

async function manifests(): Promise<Map<string, Manifest>> {
  const found = new Map<string, Manifest>()
  for (const id of await readdir(checkpointsDir()))
    found.set(id, JSON.parse(await readFile(join(checkpointsDir(), id, 'manifest.json'), 'utf8')))
  return found
}

/** Makes everything that was saved before look as if it came from another version of runsc. */
async function makeOld(): Promise<string> {
  let engineVersion = ''
  for (const [id, manifest] of await manifests()) {
    engineVersion = manifest.engineVersion
    const old = JSON.stringify({ ...manifest, engineVersion: OLD_ENGINE })
    await writeFile(join(checkpointsDir(), id, 'manifest.json'), old)
  }
  return engineVersion
}

/** Counts the log lines with this message. */
const said = (message: string): number => server.log().split(`"msg":"${message}"`).length - 1

const resumption = async ({ sandboxId }: Sandbox): Promise<Record<string, unknown> | undefined> => {
  const response = await fetch(`${options.apiUrl}/events/sandboxes/${sandboxId}`, {
    headers: { 'x-api-key': options.apiKey! },
    signal: AbortSignal.timeout(10_000),
  })
  const events = (await response.json()) as Array<{ type: string; event_data: Record<string, unknown> }>
  return events.find(({ type }) => type === 'sandbox.lifecycle.resumed')?.event_data
}

test('after an upgrade of runsc a template is booted again, and a paused sandbox boots from its files', async () => {
  const template = Template()
    .fromBaseImage()
    .runCmd('mkdir ~/served && echo from a step > ~/served/index.html')
    .setStartCmd('cd ~/served && date +%N > started && exec python3 -m http.server 8123', waitForPort(8123))
  await Template.build(template, 'renewed', options)
  const served = (sandbox: Sandbox, path: string) =>
    sandbox.commands.run(`curl -sf localhost:8123/${path}`).then(({ stdout }) => stdout)
  const before = await Sandbox.create('renewed', options)
  const startedBefore = await served(before, 'started')

  await before.files.write(FILE, 'kept')
  const { pid } = await before.commands.run('sleep 1000', { background: true, timeoutMs: 0 })
  await before.pause()

  await server.stop()
  const engineVersion = await makeOld()
  await server.start()

  const after = await Sandbox.create('renewed', options)
  expect(await served(after, '')).toBe('from a step\n')
  const startedAfter = await served(after, 'started')
  expect(startedAfter).not.toBe(startedBefore)
  const reason = `it was saved by runsc ${OLD_ENGINE}, this machine has ${engineVersion}`
  expect(said('a template is booted again')).toBe(1)
  expect(server.log()).toContain(reason)
  await after.kill()

  const resumed = await Sandbox.connect(before.sandboxId, options)
  expect(await resumed.files.read(FILE)).toBe('kept')
  expect((await resumed.commands.list()).map((process) => process.pid)).not.toContain(pid)
  expect(await resumption(resumed)).toMatchObject({ memory: false, fallback: reason })
  await resumed.kill()

  await server.stop()
  await server.start()
  const later = await Sandbox.create('renewed', options)
  expect(await served(later, 'started')).toBe(startedAfter)
  expect(said('a template is booted again')).toBe(1)
  await later.kill()
}, 240_000)
