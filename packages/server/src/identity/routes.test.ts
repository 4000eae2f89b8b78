import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { DAY_MS } from '@sandlot/protocol'
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'
import { OVERLAP_MS, SIGNING_MS } from './schedule.ts'

const under = serverUnderTest({ domain: 'sandlot.test:8443' })
let t: ServerUnderTest
let owner: { sandboxId: string; teamId: string }
let listener: Server
let origin: string
beforeEach(async () => {
  t = under.current
  listener = createServer((request, response) => t.server.fastify.routing(request, response))
  await once(listener.listen(0, '127.0.0.1'), 'listening')
  origin = `http://127.0.0.1:${(listener.address() as AddressInfo).port}`
  const tokens = { aws: { audience: 'sts.amazonaws.com', tokenType: 'JWT-SVID' } }
  const { sandboxID } = await t.create({ iam: { tokens } })
  const { teamId } = await t.inStore((store) =>
    store.selectFrom('sandboxes').select('team_id as teamId').executeTakeFirstOrThrow(),
  )
  owner = { sandboxId: sandboxID, teamId }
})
afterEach(() => void listener.close())

const tokenFor = (name = 'aws', from = owner) => t.server.credentials.identityToken(from, name)
const published = async () =>
  (await t.call('GET', '/.well-known/jwks.json', undefined, {})).body.keys.map(
    ({ kid }: { kid: string }) => kid,
  ) as string[]

/** Verifies a token like another service does: over HTTP, with nothing but the address of the server. */
async function verify(token: string) {
  const { issuer, jwks_uri } = (await (await fetch(`${origin}/.well-known/openid-configuration`)).json()) as {
    issuer: string
    jwks_uri: string
  }
  expect(jwks_uri).toBe('https://api.sandlot.test:8443/.well-known/jwks.json')
  const keys = createRemoteJWKSet(new URL(new URL(jwks_uri).pathname, origin))
  return jwtVerify(token, keys, {
    issuer,
    audience: 'sts.amazonaws.com',
    algorithms: ['ES256'],
    currentDate: new Date(t.now),
  })
}

describe('an identity token', () => {
  test('is verified by its issuer and the keys that the server publishes', async () => {
    const { payload, protectedHeader } = await verify((await tokenFor())!)
    const atSeconds = Math.floor(t.now / 1000)
    expect(payload).toEqual({
      iss: 'https://api.sandlot.test:8443',
      sub: `spiffe://sandlot.test/team/${owner.teamId}/sandbox/${owner.sandboxId}`,
      aud: ['sts.amazonaws.com'],
      iat: atSeconds,
      nbf: atSeconds,
      exp: atSeconds + 300,
      jti: expect.stringMatching(/^[0-9a-f-]{36}$/),
    })
    expect(protectedHeader).toEqual({ alg: 'ES256', typ: 'JWT', kid: (await published())[0] })
  })

  test('is given out again until it is valid for less than a minute', async () => {
    const first = await tokenFor()
    t.now += 239_000 - (t.now % 1000)
    expect(await tokenFor()).toBe(first)
    t.now += 2_000
    const second = await tokenFor()
    expect(decodeJwt(second!).jti).not.toBe(decodeJwt(first!).jti)
    await verify(second!)
  })

  test('is signed again when the clock was set back behind it', async () => {
    const first = await tokenFor()
    t.now -= 60_000
    expect(await tokenFor()).not.toBe(first)
    await verify((await tokenFor())!)
  })

  test('exists only for names of the sandbox, its own team and as long as the sandbox lives', async () => {
    expect(await tokenFor('gcp')).toBeUndefined()
    expect(await tokenFor('toString')).toBeUndefined()
    expect(await tokenFor('aws', { ...owner, teamId: 'another' })).toBeUndefined()
    expect(await tokenFor('aws', { ...owner, sandboxId: 'i00000000000000000000' })).toBeUndefined()
    expect(await tokenFor()).toBeDefined()
    await t.call('DELETE', `/sandboxes/${owner.sandboxId}`)
    expect(await tokenFor()).toBeUndefined()
  })

  test('survives a pause and a resume, and is not inherited by a fork', async () => {
    const forked = await t.act(owner.sandboxId, 'fork', { count: 1 })
    const { sandboxID } = forked.body[0].sandbox
    expect(await tokenFor('aws', { ...owner, sandboxId: sandboxID })).toBeUndefined()
    expect((await t.act(owner.sandboxId, 'pause')).status).toBe(204)
    await t.crash()
    expect((await t.act(owner.sandboxId, 'connect', { timeout: 300 })).status).toBe(201)
    expect(decodeJwt((await tokenFor())!).sub).toContain(owner.sandboxId)
  })
})

describe('the keys', () => {
  test('are public, may be cached, and contain no private part', async () => {
    await tokenFor()
    for (const path of ['openid-configuration', 'jwks.json']) {
      const { status, headers } = await t.call('GET', `/.well-known/${path}`, undefined, {})
      expect([status, headers['cache-control']]).toEqual([200, 'public, max-age=3600'])
    }
    const { body } = await t.call('GET', '/.well-known/jwks.json', undefined, {})
    expect(body.keys).toEqual([
      {
        ...{ kty: 'EC', crv: 'P-256', alg: 'ES256', use: 'sig' },
        ...{ x: expect.any(String), y: expect.any(String), kid: expect.any(String) },
      },
    ])
    const rows = await t.inStore((store) => store.selectFrom('identity_keys').selectAll().execute())
    expect(JSON.stringify(rows)).not.toContain('"d"')
  })

  test('exist as soon as anyone asks, and outlive a restart', async () => {
    const [kid] = await published()
    await t.crash()
    expect(await published()).toEqual([kid])
    expect(decodeProtectedHeader((await tokenFor())!).kid).toBe(kid)
  })

  test('are replaced, with an overlap in which both are published', async () => {
    const [former] = await published()
    t.now += SIGNING_MS - OVERLAP_MS
    const both = await published()
    expect(both).toEqual([former, expect.any(String)])
    // the sandbox would have ended long ago
    const kidOfToken = async () => {
      const issued = await t.server.credentials.identityToken(owner, 'aws')
      return issued === undefined ? undefined : decodeProtectedHeader(issued).kid
    }
    expect(await kidOfToken()).toBe(former)
    t.now += OVERLAP_MS
    expect(await kidOfToken()).toBe(both[1])
    expect(await published()).toEqual(both)
    t.now += OVERLAP_MS
    expect(await published()).toEqual([both[1]])
    t.now += 100 * DAY_MS
    expect(await published()).toEqual([both[1], expect.any(String)])
  })

  test('are equal for two servers that ask at once', async () => {
    const former = t.server
    await t.crash()
    const ask = async (server: typeof former) =>
      JSON.parse((await server.fastify.inject({ url: '/.well-known/jwks.json' })).body).keys[0].kid
    expect(await ask(former)).toBe(await ask(t.server))
    t.now += SIGNING_MS
    const [ours, theirs] = await Promise.all([ask(former), ask(t.server)])
    expect(ours).toBe(theirs)
    const rows = await t.inStore((store) => store.selectFrom('identity_keys').selectAll().execute())
    expect(rows.map(({ sequence }) => sequence)).toEqual([1, 2])
  })

  test('are published, but do not sign, while the server has a wrong key for secrets', async () => {
    const [kid] = await published()
    await t.call('POST', '/secrets', { name: 'a', value: 'b' })
    const former = t.secretsKeys.keys
    t.secretsKeys.keys = [randomBytes(32)]
    await t.crash()
    expect(await published()).toEqual([kid])
    await expect(tokenFor()).rejects.toMatchObject({ errorName: 'secrets_unavailable' })
    t.secretsKeys.keys = former
    await t.crash()
    await verify((await tokenFor())!)
  })

  test('are replaced at once when the key for secrets was lost', async () => {
    await t.call('POST', '/secrets', { name: 'a', value: 'b' })
    const [lost] = await published()
    await t.call('DELETE', '/secrets/a')
    t.secretsKeys.keys = []
    await t.crash()
    const token = (await tokenFor())!
    await verify(token)
    expect(decodeProtectedHeader(token).kid).not.toBe(lost)
  })
})
