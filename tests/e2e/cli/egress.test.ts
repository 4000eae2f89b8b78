import { once } from 'node:events'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Sandbox } from '../../../packages/sdk/src/index.ts'
import { buildCli, e2b, start } from './command.ts'

let sandbox: Sandbox
beforeAll(async () => {
  await buildCli()
  sandbox = await Sandbox.create({
    timeoutMs: 600_000,
    network: { denyOut: ['0.0.0.0/0'], allowOut: ['allowed.test'] },
  })
}, 300_000)
afterAll(async () => void (await sandbox?.kill()))

const fetchInside = (url: string) =>
  sandbox.commands.run(`curl -s -m 5 -o /dev/null ${url} || true`, { timeoutMs: 20_000 })
const egress = (...args: string[]) => e2b(['sandbox', 'egress', sandbox.sandboxId, ...args])

it('shows at one look why a request of a sandbox fails, for people and for programs', async () => {
  await fetchInside('http://allowed.test/')
  await fetchInside('https://pypi.test/simple/')
  await expect
    .poll(async () => (await egress('--denied', '--format', 'json')).stdout, { timeout: 20_000 })
    .toContain('pypi.test')
  const { code, stdout, stderr } = await egress()
  expect(code).toBe(0)
  const [head, ...lines] = stdout.trimEnd().split('\n')
  expect(head).toMatch(/^TIME +VERDICT +PROTOCOL +DESTINATION +ADDRESS +SENT +RECEIVED +RULE +REASON$/)
  expect(lines.join('\n')).toMatch(/denied +dns +pypi\.test .* name not allowed/)
  expect(lines.join('\n')).toMatch(/allowed +http +allowed\.test .* allow allowed\.test +GET \/ → 200/)
  expect(stderr).toMatch(/Denied: pypi\.test\. To allow one, add it to allowOut/)
  const denied = (await egress('--denied', '--format', 'json')).stdout.trimEnd().split('\n')
  expect(denied.map((line) => JSON.parse(line).verdict)).toEqual(denied.map(() => 'denied'))
  expect((await egress('--name', 'no.such.test')).stderr).toBe('No such connections are recorded.\n')
  expect((await egress('--since', '1h', '--name', 'allowed.test')).stdout).toContain('allowed.test')
})

it('follows until the sandbox is closed', async () => {
  const child = start(['sandbox', 'egress', sandbox.sandboxId, '-f', '--denied', '--format', 'json'])
  let output = ''
  child.stdout!.setEncoding('utf8').on('data', (chunk: string) => void (output += chunk))
  await expect.poll(() => output, { timeout: 20_000 }).toContain('pypi.test')
  await fetchInside('https://later.test/')
  await expect.poll(() => output, { timeout: 20_000 }).toContain('later.test')
  await sandbox.kill()
  const [code] = await once(child, 'close')
  expect(code).toBe(0)
}, 120_000)
