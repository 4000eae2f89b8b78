import { describe, expect, it } from 'vitest'
import { listenForLogin, readGrant } from './login-callback.ts'

const PAGE = 'https://example.com/docs/api/cli'
const GRANT = {
  email: 'a@b.c',
  accessToken: 'at',
  refreshToken: 'rt',
  tokenEndpoint: 'https://example.com/token',
  revokeEndpoint: 'https://example.com/revoke',
  clientId: 'cli',
}
const visit = (url: string): Promise<Response> =>
  fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(5000) })

describe('listenForLogin', () => {
  it('reads the grant from the browser and redirects it to the result page', async () => {
    const callback = await listenForLogin(PAGE)
    const answer = await visit(`${callback.url}/?${new URLSearchParams(GRANT)}`)
    expect(answer.status).toBe(302)
    expect(answer.headers.get('location')).toBe(`${PAGE}?state=success&email=a%40b.c`)
    expect(await callback.grant).toEqual(GRANT)
    callback.close()
  })

  it('fails with the message of a refusal, which the page also gets', async () => {
    const callback = await listenForLogin(PAGE)
    const answer = await visit(`${callback.url}/?error=denied`)
    expect(answer.headers.get('location')).toMatch(/^https:.*\?state=error&error=.*denied/)
    await expect(callback.grant).rejects.toThrow('Login failed: denied')
    callback.close()
  })

  it('ignores other requests, which browsers make', async () => {
    const callback = await listenForLogin(PAGE)
    expect((await visit(`${callback.url}/favicon.ico`)).status).toBe(404)
    await visit(`${callback.url}/?${new URLSearchParams(GRANT)}`)
    expect((await callback.grant).email).toBe('a@b.c')
    callback.close()
  })

  it('times out', async () => {
    const callback = await listenForLogin(PAGE, 20)
    await expect(callback.grant).rejects.toThrow(/No answer from the browser/)
    callback.close()
  })
})

it('an incomplete grant is refused with the name of the missing field', () => {
  const { refreshToken, ...rest } = GRANT
  expect(() => readGrant(new URLSearchParams(rest))).toThrow(/without refreshToken\./)
})
