import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeAll, expect, inject, it } from 'vitest'
import { buildCli, e2b, home, OFFICIAL_ENTRY } from './command.ts'

const { env } = inject('server')
/** An environment in which only the config identifies the user. */
const LOGGED_IN = { E2B_API_KEY: undefined, E2B_ACCESS_TOKEN: undefined }
const directory = join(home, '.e2b')

beforeAll(buildCli)
afterEach(() => rmSync(directory, { recursive: true, force: true }))

function writeConfig(config: object): void {
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, 'config.json'), JSON.stringify(config))
}

const CONFIG = {
  version: 2,
  identity: { email: 'ann@example.com' },
  oauth: {
    token_endpoint: 'http://127.0.0.1:29999/t',
    revoke_endpoint: 'http://127.0.0.1:29999/r',
    client_id: 'cli',
  },
  tokens: { access_token: 'a.b.c', refresh_token: 'r' },
  last_refresh: '2026-01-01T00:00:00.000Z',
  projectName: 'Project',
  projectId: 'p1',
  projectApiKey: env.E2B_API_KEY,
}

it('the config of the official CLI works, and both CLIs print the same about it', async () => {
  writeConfig(CONFIG)
  const ours = await e2b(['auth', 'info'], { env: LOGGED_IN })
  expect(ours).toEqual({
    code: 0,
    stdout: 'You are logged in as ann@example.com,\nSelected project: Project (p1)\n',
    stderr: '',
  })
  expect((await e2b(['auth', 'info'], { env: LOGGED_IN, entry: OFFICIAL_ENTRY })).stdout).toBe(ours.stdout)
  expect((await e2b(['sandbox', 'list', '-f', 'json'], { env: LOGGED_IN })).code).toBe(0)
})

it('a config of version 1 works without being changed', async () => {
  const { projectName, projectId, projectApiKey, ...rest } = CONFIG
  writeConfig({ ...rest, version: 1, teamName: projectName, teamId: projectId, teamApiKey: projectApiKey })
  expect((await e2b(['auth', 'info'], { env: LOGGED_IN })).stdout).toContain('Selected project: Project (p1)')
  expect((await e2b(['template', 'list'], { env: LOGGED_IN })).code).toBe(0)
})

it('E2B_API_KEY takes precedence over the config', async () => {
  writeConfig({ ...CONFIG, projectApiKey: `e2b_${'0'.repeat(40)}` })
  expect((await e2b(['template', 'list'])).code).toBe(0)
  expect((await e2b(['template', 'list'], { env: LOGGED_IN })).stderr).toMatch(/^\[401\]/)
})

it('E2B_ACCESS_TOKEN is enough to log in, until the token is revoked', async () => {
  const tokens = `${env.E2B_API_URL}/access-tokens`
  const headers = { 'X-API-KEY': env.E2B_API_KEY!, 'Content-Type': 'application/json' }
  const made = await fetch(tokens, { method: 'POST', headers, body: JSON.stringify({ name: 'ci' }) })
  const { id, token } = (await made.json()) as { id: string; token: string }
  const machine = { ...LOGGED_IN, E2B_ACCESS_TOKEN: token }
  expect((await e2b(['template', 'list'], { env: machine })).stdout).toContain('base')
  await fetch(`${tokens}/${id}`, { method: 'DELETE', headers: { 'X-API-KEY': env.E2B_API_KEY! } })
  const { code, stderr } = await e2b(['template', 'list'], { env: machine })
  expect(code).toBe(1)
  expect(stderr).toMatch(/^\[401\] Unauthorized: .*Check E2B_ACCESS_TOKEN, or run `e2b auth login`\.\n$/)
})

it('a damaged config is named together with the remedy', async () => {
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, 'config.json'), '{')
  const { code, stderr } = await e2b(['auth', 'info'])
  expect(code).toBe(1)
  expect(stderr).toMatch(/config\.json is damaged\. Remove it and run `e2b auth login`/)
})

it('logging out works while the server of the login is unreachable', async () => {
  writeConfig(CONFIG)
  const { code, stdout, stderr } = await e2b(['auth', 'logout'], { env: LOGGED_IN })
  expect([code, stdout]).toEqual([0, 'Logged out.\n'])
  expect(stderr).toMatch(/could not revoke the login/)
  expect((await e2b(['auth', 'info'], { env: LOGGED_IN })).stdout).toBe('Not logged in\n')
  expect((await e2b(['auth', 'logout'], { env: LOGGED_IN })).stdout).toBe('Not logged in, nothing to do\n')
})

it('the official CLI works against this server', async () => {
  const official = (...args: string[]) => e2b(args, { entry: OFFICIAL_ENTRY })
  const created = await official('sandbox', 'create', '-d')
  const id = created.stdout.trim()
  expect(id).toMatch(/^i[a-z0-9]{20}$/)
  expect((await official('sandbox', 'list')).stdout).toContain(id)
  expect(await official('sandbox', 'exec', id, 'echo out; exit 3')).toMatchObject({
    code: 3,
    stdout: 'out\n',
  })
  expect((await official('sandbox', 'logs', id)).stdout).toContain('sandbox created')
  expect((await official('sandbox', 'kill', id)).stdout).toContain(`${id} has been killed`)
})
