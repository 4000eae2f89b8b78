import { Sandbox } from 'desktop-official'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { internet, newPath } from '../internet/injected.ts'
import { BUILD_TIMEOUT_MS, waitForTemplate } from './ready.ts'

const NETWORK = { rules: { 'allowed.test': [{ transform: { headers: { 'x-intercepted': 'yes' } } }] } }
/** Chromium reads changed policies when they have been at rest for 5 s. */
const POLICY = { timeout: 60_000, interval: 2_000 }

let desktop: Sandbox
beforeAll(async () => {
  await waitForTemplate('desktop')
  delete process.env.E2B_API_URL
  delete process.env.E2B_SANDBOX_URL
  desktop = await Sandbox.create({ timeoutMs: 300_000 })
}, BUILD_TIMEOUT_MS)
afterAll(() => desktop?.kill(), 60_000)

const seenAt = async (path: string) =>
  (await internet.requestsFor(path)).map(({ headers }) => headers['x-intercepted'])

test('the browser trusts the authority of header rules, when it starts with them and when it runs already', async () => {
  const [running, headless] = [newPath(), newPath()]
  await desktop.launch('google-chrome', 'http://allowed.test/running')
  await expect.poll(() => seenAt('/running'), POLICY).not.toEqual([])
  await desktop.updateNetwork(NETWORK)
  const dumped = await desktop.commands.run(
    `chromium --headless --user-data-dir=/tmp/other --dump-dom https://allowed.test${headless} 2>/dev/null`,
    { timeoutMs: 60_000 },
  )
  expect(dumped.stdout).toContain('x-intercepted')
  const openAgain = async () => {
    await desktop.launch('google-chrome', `https://allowed.test${running}`)
    return seenAt(running)
  }
  await expect.poll(openAgain, POLICY).toContain('yes')
}, 180_000)
