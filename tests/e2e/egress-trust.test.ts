import { Sandbox } from 'e2b-official'
import { afterAll, beforeAll, expect, test } from 'vitest'

const RULE = [{ transform: { headers: { 'x-intercepted': 'yes' } } }]
const NETWORK = { rules: { 'allowed.test': RULE } }
const ASK = 'curl -sS https://allowed.test/'
/** Programs that trust the system's store, whatever the environment. */
const WITHOUT_ENVIRONMENT = `env -i PATH=/usr/bin:/bin ${ASK}; env -i PATH=/usr/bin:/bin python3 -c 'import urllib.request as u; print(u.urlopen("https://allowed.test/").read().decode())'`
const INTERCEPTED = /"x-intercepted":\s?"yes"/g

let sandbox: Sandbox
beforeAll(async () => {
  sandbox = await Sandbox.create({ timeoutMs: 300_000 })
}, 60_000)
afterAll(() => sandbox?.kill(), 30_000)

const interceptedIn = async (where: Sandbox, command: string): Promise<number> =>
  [...(await where.commands.run(command, { timeoutMs: 30_000 })).stdout.matchAll(INTERCEPTED)].length

test('a sandbox without rules trusts nothing and has no variables', async () => {
  const { stdout } = await sandbox.commands.run('ls -d /etc/sandlot 2>&1; env | grep -c DENO_CERT || true')
  expect(stdout).toMatch(/No such file.*\n0\n$/s)
})

test('the first rule of a running sandbox makes it trust the authority, without a change of anything else', async () => {
  await sandbox.commands.run('cat /run/e2b/.E2B_SANDBOX_ID > /tmp/before')
  await sandbox.updateNetwork(NETWORK)
  expect(await interceptedIn(sandbox, ASK)).toBe(1)
  expect(await interceptedIn(sandbox, WITHOUT_ENVIRONMENT)).toBe(2)
  const { stdout } = await sandbox.commands.run('cmp /run/e2b/.E2B_SANDBOX_ID /tmp/before; echo $DENO_CERT')
  expect(stdout).toBe('/etc/sandlot/egress-ca.pem\n')
})

test('a second rule writes the store only once', async () => {
  const count = 'grep -c "sandlot egress: begin" /etc/ssl/certs/ca-certificates.crt'
  await sandbox.updateNetwork({ rules: { ...NETWORK.rules, 'other.test': RULE } })
  expect((await sandbox.commands.run(count)).stdout).toBe('1\n')
})

test('the trust survives a pause with memory and one without', async () => {
  for (const keepMemory of [true, false]) {
    await sandbox.pause({ keepMemory })
    sandbox = await Sandbox.connect(sandbox.sandboxId)
    expect(await interceptedIn(sandbox, ASK), `keepMemory: ${keepMemory}`).toBe(1)
    expect(await interceptedIn(sandbox, WITHOUT_ENVIRONMENT)).toBe(2)
  }
}, 60_000)

test('the store still trusts it after update-ca-certificates', async () => {
  await sandbox.commands.run('update-ca-certificates --fresh', { user: 'root', timeoutMs: 60_000 })
  expect(await interceptedIn(sandbox, WITHOUT_ENVIRONMENT)).toBe(2)
}, 90_000)

test('a sandbox of a snapshot with rules of its own trusts it', async () => {
  const { snapshotId } = await sandbox.createSnapshot()
  const copy = await Sandbox.create(snapshotId, { timeoutMs: 60_000, network: NETWORK })
  expect(await interceptedIn(copy, WITHOUT_ENVIRONMENT)).toBe(2)
  await copy.kill()
}, 60_000)

test('a sandbox that has broken its store still starts, and its policy still changes', async () => {
  const broken = await Sandbox.create({ timeoutMs: 60_000 })
  const store = '/etc/ssl/certs/ca-certificates.crt'
  await broken.commands.run(`rm ${store} && mkfifo ${store} && echo > /etc/sandlot`, { user: 'root' })
  await broken.updateNetwork({ ...NETWORK, denyOut: ['0.0.0.0/0'] })
  await broken.pause()
  const again = await Sandbox.connect(broken.sandboxId)
  const { stdout } = await again.commands.run('curl -sS -m 3 https://allowed.test/ 2>&1 || true')
  expect(stdout).not.toMatch(INTERCEPTED)
  await again.kill()
}, 60_000)
