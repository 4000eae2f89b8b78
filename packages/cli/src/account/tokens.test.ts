import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { expiryOf, freshAccessToken, revoke } from './tokens.ts'
import { readConfig, type UserConfig, writeConfig } from './user-config.ts'

/** An OAuth server by RFC 6749 and 7009. The OAuth server of Sandlot is tested in packages/server. */
let server: Server
let requests: { path: string; form: Record<string, string> }[]
let answer: { status: number; body: object }
let config: UserConfig
let home: string

const token = (expiresInMs: number): string =>
  `h.${Buffer.from(JSON.stringify({ exp: (Date.now() + expiresInMs) / 1000 })).toString('base64url')}.s`

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'e2b-tokens-'))
  vi.stubEnv('HOME', home)
  requests = []
  server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    requests.push({ path: request.url!, form: Object.fromEntries(new URLSearchParams(body)) })
    response.writeHead(answer.status, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer.body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  config = {
    version: 2,
    identity: { email: 'a@b.c' },
    oauth: { token_endpoint: `${origin}/token`, revoke_endpoint: `${origin}/revoke`, client_id: 'cli' },
    tokens: { access_token: token(30_000), refresh_token: 'old' },
  }
  writeConfig(config)
})
afterEach(() => {
  server.close()
  vi.unstubAllEnvs()
  rmSync(home, { recursive: true })
})

it('a token that is valid for more than a minute is used unchanged', async () => {
  config.tokens!.access_token = token(90_000)
  expect(await freshAccessToken(config)).toBe(config.tokens!.access_token)
  expect(requests).toEqual([])
})

it('a token that expires within a minute is renewed and saved with the new refresh token', async () => {
  answer = { status: 200, body: { access_token: 'new', refresh_token: 'next', expires_in: 600 } }
  expect(await freshAccessToken(config)).toBe('new')
  expect(requests).toEqual([
    { path: '/token', form: { grant_type: 'refresh_token', refresh_token: 'old', client_id: 'cli' } },
  ])
  expect(readConfig()!.tokens).toEqual({ access_token: 'new', refresh_token: 'next' })
  expect(Date.parse(readConfig()!.last_refresh!)).toBeGreaterThan(Date.now() - 60_000)
})

it('an expired login is removed, and the error says what to do', async () => {
  answer = { status: 400, body: { error: 'invalid_grant' } }
  await expect(freshAccessToken(config)).rejects.toThrow('Your login has ended. Run `e2b auth login`.')
  expect(readConfig()).toBeUndefined()
})

it('a token that a concurrent command has renewed is read from the file', async () => {
  answer = { status: 400, body: { error: 'invalid_grant' } }
  writeConfig({ ...config, tokens: { access_token: 'theirs', refresh_token: 'next' } })
  expect(await freshAccessToken(config)).toBe('theirs')
  expect(readConfig()).toBeDefined()
})

it('a failing server does not end the login', async () => {
  answer = { status: 500, body: {} }
  await expect(freshAccessToken(config)).rejects.toThrow(/answered 500/)
  expect(readConfig()).toBeDefined()
})

it('revoking names the refresh token', async () => {
  answer = { status: 200, body: {} }
  await revoke(config)
  expect(requests).toEqual([
    { path: '/revoke', form: { token: 'old', token_type_hint: 'refresh_token', client_id: 'cli' } },
  ])
})

it('a token that is not a JWT with `exp` counts as expired', () => {
  expect([expiryOf(''), expiryOf('a.b.c'), expiryOf('sk_e2b_1'), expiryOf(`h.${btoa('{}')}.s`)]).toEqual([
    0, 0, 0, 0,
  ])
})
