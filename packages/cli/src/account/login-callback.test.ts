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
  it('takes what the browser brings and sends it to the page of the outcome', async () => {
    const callback = await listenForLogin(PAGE)
    const answer = await visit(`${callback.url}/?${new URLSearchParams(GRANT)}`)
    expect(answer.status).toBe(302)
    expect(answer.headers.get('location')).toBe(`${PAGE}?state=success&email=a%40b.c`)
    expect(await callback.grant).toEqual(GRANT)
    callback.close()
  })

  it('fails with the words of a refusal, which the page gets too', async () => {
    const callback = await listenForLogin(PAGE)
    const answer = await visit(`${callback.url}/?error=denied`)
    expect(answer.headers.get('location')).toMatch(/^https:.*\?state=error&error=.*denied/)
    await expect(callback.grant).rejects.toThrow('Login failed: denied')
    callback.close()
  })

  it('does not mind other requests, as browsers make them', async () => {
    const callback = await listenForLogin(PAGE)
    expect((await visit(`${callback.url}/favicon.ico`)).status).toBe(404)
    await visit(`${callback.url}/?${new URLSearchParams(GRANT)}`)
    expect((await callback.grant).email).toBe('a@b.c')
    callback.close()
  })

  it('gives up after a time', async () => {
    const callback = await listenForLogin(PAGE, 20)
    await expect(callback.grant).rejects.toThrow(/No answer from the browser/)
    callback.close()
  })
})

it('a grant without a field names it', () => {
  const { refreshToken, ...rest } = GRANT
  expect(() => readGrant(new URLSearchParams(rest))).toThrow(/without refreshToken\./)
})
