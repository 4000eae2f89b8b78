import { beforeEach, expect, test } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'
import { createLoginLink } from './login-link.ts'

const under = serverUnderTest()
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

const CLI_PAGE = '/docs/api/cli?next=http%3A%2F%2Flocalhost%3A5000&cliVersion=2.19.0'

test('a key signs in, the consent page names program and team, and the CLI gets its credentials', async () => {
  const browser = t.browser()
  expect((await browser.open(CLI_PAGE)).text).toContain('E2B CLI 2.19.0')
  expect((await browser.submit({ credential: t.key })).status).toBe(303)
  const consent = await browser.follow()
  expect(consent.text).toMatch(/localhost:5000.*default.*admin@sandlot\.test/s)
  const { status, location } = await browser.submit({ decision: 'allow' })
  expect([status, new URL(location!).origin]).toEqual([303, 'http://localhost:5000'])
  expect(Object.fromEntries(new URL(location!).searchParams)).toEqual({
    email: 'admin@sandlot.test',
    accessToken: expect.stringMatching(/^ey.*\..*\..*$/),
    refreshToken: expect.stringMatching(/^[\w-]{43}$/),
    tokenEndpoint: 'https://sandlot.test/oauth/token',
    revokeEndpoint: 'https://sandlot.test/oauth/revoke',
    clientId: 'e2b-cli',
  })
})

test('a signed-in browser is only asked for consent', async () => {
  const browser = t.browser()
  await browser.open('/docs/sign-in')
  await browser.submit({ credential: t.key })
  expect((await browser.follow()).text).toContain('admin@sandlot.test')
  expect((await browser.open(CLI_PAGE)).text).toContain('value="allow"')
  t.now += 12 * 3600_000
  expect((await browser.open(CLI_PAGE)).text).toContain('name="credential"')
})

test('a login link works once, opened or pasted, and for ten minutes', async () => {
  const link = await createLoginLink(t.storeUrl, 'sandlot.test')
  const browser = t.browser()
  await browser.open(link)
  expect((await browser.submit({}, {}, '/docs/sign-in')).status).toBe(303)
  const other = t.browser()
  await other.open(CLI_PAGE)
  expect(await other.submit({ credential: link })).toMatchObject({
    status: 401,
    text: expect.stringContaining('sandlot login-link'),
  })
  expect((await other.submit({ credential: await createLoginLink(t.storeUrl, 'x') })).status).toBe(303)
  await other.open(CLI_PAGE)
  const late = t.browser()
  await late.open(CLI_PAGE)
  const lateLink = await createLoginLink(t.storeUrl, 'sandlot.test')
  t.now = Date.now() + 601_000
  expect((await late.submit({ credential: lateLink })).status).toBe(401)
})

test('opening a link signs nobody in, because mail scanners and previews open links', async () => {
  const link = await createLoginLink(t.storeUrl, 'sandlot.test')
  const scanner = t.browser()
  await scanner.open(link)
  expect([...scanner.cookies.keys()]).toEqual(['__Host-sandlot-form'])
  const browser = t.browser()
  await browser.open(CLI_PAGE)
  expect((await browser.submit({ credential: link })).status).toBe(303)
})

test.each([
  'e2b_'.padEnd(44, '0'),
  'x',
  ' ',
  'https://sandlot.test/docs/sign-in',
  "<script>alert('x')</script>",
])('%j signs nobody in', async (credential) => {
  const browser = t.browser()
  await browser.open(CLI_PAGE)
  const { status, text } = await browser.submit({ credential })
  expect(status).toBe(401)
  expect(text).not.toContain('<script')
  expect([...browser.cookies.keys()]).toEqual(['__Host-sandlot-form'])
})

test('attempts to sign in are rate limited', async () => {
  const browser = t.browser()
  await browser.open(CLI_PAGE)
  const statuses: number[] = []
  for (let i = 0; i < 11; i++) statuses.push((await browser.submit({ credential: 'wrong' })).status)
  expect(statuses).toEqual([...Array(10).fill(401), 429])
  expect(browser.page.headers['retry-after']).toBe('5')
})

test.each([
  'http://evil.example:5000',
  'https://localhost:5000',
  'http://localhost',
  'http://localhost:0',
  'http://localhost:99999',
  'http://localhost:5000@evil.example',
  'http://localhost:5000?x=1',
  'http://localhost.evil.example:5000',
  'http://127.0.0.1:5000/a/b',
  'http://localhost:5000\\@evil.example',
  'javascript:alert(1)',
  '',
])('tokens are never sent to %j', async (next) => {
  const page = await t.browser().open(`/docs/api/cli?${new URLSearchParams({ next, cliVersion: '1' })}`)
  expect(page.status).toBe(400)
  expect(page.text).toContain('http://localhost:&#60;port&#62;')
  const signedIn = t.browser()
  await signedIn.open(CLI_PAGE)
  await signedIn.submit({ credential: t.key })
  await signedIn.follow()
  expect((await signedIn.submit({ decision: 'allow', next })).location).toBeUndefined()
})

test.each([
  ['http://localhost:3000', 'http://localhost:3000/x'],
  ['http://localhost:3000', 'http://127.0.0.1:3000'],
  ['http://127.0.0.1', 'http://localhost:80/x'],
  ['http://localhost:3000', 'http://localhost:443'],
  ['https://sandlot.test', 'http://localhost:443'],
])('tokens are never sent to this server: at %s not to %s', async (origin, next) => {
  const page = await t.browser(origin).open(`/docs/api/cli?${new URLSearchParams({ next, cliVersion: '1' })}`)
  expect(page.status).toBe(400)
  expect(page.text).toContain('on a port of its own')
})

test('over plain HTTP no sign-in is possible at the parent domain of sandboxes, whose pages could set its cookies', async () => {
  for (const origin of ['http://sandlot.test', 'http://api.sandlot.test:3000', 'http://my.server']) {
    for (const path of [CLI_PAGE, '/docs/sign-in?token=secret', '/docs/signed-in']) {
      const { status, text, setCookies } = await t.browser(origin).open(path)
      expect([status, setCookies]).toEqual([403, []])
      expect(text).toContain('https://sandlot.test/docs/')
      expect(text).not.toContain('secret')
    }
  }
  for (const origin of ['http://localhost:3000', 'http://10.1.2.3', 'http://[::1]:3000', 'http://my-server'])
    expect((await t.browser(origin).open(CLI_PAGE)).status).toBe(200)
})

test('a refusal is reported to the CLI, and both outcomes have a page', async () => {
  const browser = t.browser()
  await browser.open(CLI_PAGE)
  await browser.submit({ credential: t.key })
  await browser.follow()
  expect((await browser.submit({ decision: 'deny' })).location).toBe(
    'http://localhost:5000/?error=access+was+denied+in+the+browser',
  )
  expect((await browser.open('/docs/api/cli?state=success&email=me%40here.org')).text).toContain(
    'me@here.org',
  )
  const madeUp = await browser.open('/docs/api/cli?state=success&email=call+this+number')
  expect(madeUp.text).toContain('admin@sandlot.test')
  const failed = await browser.open(`/docs/api/cli?state=error&error=${encodeURIComponent('<b>no')}`)
  expect(failed.text).toContain('&#60;b&#62;no')
})

test('forms from another origin, a sandbox, another browser or another page are refused', async () => {
  const browser = t.browser()
  await browser.open(CLI_PAGE)
  await browser.submit({ credential: t.key })
  const consent = await browser.follow()
  const isRefused = async (fields: Record<string, string> = {}, headers: Record<string, string> = {}) => {
    const { status, location } = await browser.submit({ decision: 'allow', ...fields }, headers)
    browser.page = consent
    return status === 403 && location === undefined
  }
  expect(await isRefused({}, { origin: 'https://8080-i1.sandlot.test' })).toBe(true)
  expect(await isRefused({}, { origin: 'null' })).toBe(true)
  expect(await isRefused({}, { 'sec-fetch-site': 'same-site' })).toBe(true)
  expect(await isRefused({ formToken: 'x' })).toBe(true)
  expect(await isRefused({ next: 'http://localhost:6000' })).toBe(true)
  const other = t.browser()
  await other.open(CLI_PAGE)
  await other.submit({ credential: t.key })
  await other.follow()
  expect(await isRefused({ formToken: other.form('decision').hidden.formToken! })).toBe(true)
  expect((await browser.submit({ decision: 'allow' })).location).toContain('accessToken')
})

test('after signing out a browser must sign in again, even with a copied cookie', async () => {
  const browser = t.browser()
  await browser.open(CLI_PAGE)
  await browser.submit({ credential: t.key })
  await browser.follow()
  const kept = new Map(browser.cookies)
  await browser.submit({}, {}, '/docs/sign-out')
  expect(browser.cookies.has('__Host-sandlot-session')).toBe(false)
  for (const [name, value] of kept) browser.cookies.set(name, value)
  expect((await browser.open(CLI_PAGE)).text).toContain('name="credential"')
})

test('cookies are out of reach of scripts and of sandboxes, pages cannot be framed and fetch nothing', async () => {
  const browser = t.browser()
  const page = await browser.open(CLI_PAGE)
  expect(page.setCookies[0]).toMatch(
    /^__Host-sandlot-form=[\w-]{43}; Path=\/; HttpOnly; Secure; SameSite=Lax$/,
  )
  expect(page.headers).toMatchObject({
    'content-security-policy': expect.stringMatching(
      /^default-src 'none'; style-src 'sha256-[^']+'; form-action 'self' ; frame-ancestors 'none'/,
    ),
    'x-frame-options': 'DENY',
    'cache-control': 'no-store',
  })
  expect(page.text).not.toMatch(/<script|src=|href=|style="/)
  const plain = t.browser('http://localhost:3000')
  expect((await plain.open(CLI_PAGE)).setCookies[0]).toMatch(
    /^sandlot-form=[^;]+; Path=\/; HttpOnly; SameSite=Lax$/,
  )
})

test('a CLI on this machine is told the address that the browser used, never a forged one', async () => {
  const endpointFor = async (origin: string) => {
    const browser = t.browser(origin)
    await browser.open(CLI_PAGE)
    await browser.submit({ credential: t.key })
    await browser.follow()
    await browser.submit({ decision: 'allow' })
    return new URL(browser.page.location!).searchParams.get('tokenEndpoint')
  }
  expect(await endpointFor('http://localhost:3000')).toBe('http://localhost:3000/oauth/token')
  expect(await endpointFor('http://127.0.0.1:3000')).toBe('http://127.0.0.1:3000/oauth/token')
  expect(await endpointFor('https://evil.example')).toBe('https://sandlot.test/oauth/token')
})
