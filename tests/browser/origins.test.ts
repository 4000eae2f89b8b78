import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Sandbox } from 'e2b-official'
import type { Browser, BrowserContext } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { launchChromium } from './chromium.ts'

const { env, port, domain } = inject('server')

/** Every origin at which the sign-in pages work. */
const API_ORIGINS = [`https://${domain}`, `http://localhost:${port}`, `http://127.0.0.1:${port}`]

/** Tries every attack that a page of a guest may attempt, and reports what it obtained. `CLI` listens for tokens. */
const ATTACK = `<!doctype html><title>quiet</title><body><script type="module">
const api = ${JSON.stringify([...API_ORIGINS, `http://${domain}`, `https://api.${domain}`])}
const got = []
const attempt = async (name, work) => {
  try { got.push([name, String(await work()).slice(0, 4000)]) } catch (error) { got.push([name, 'refused: ' + error.name]) }
}
const within = (ms, promise) => Promise.race([promise, new Promise((resolve) => setTimeout(resolve, ms, 'nothing'))])
for (const domain of ['sandlot.localhost', 'localhost', '']) {
  for (const name of ['sandlot-session', 'sandlot-form', '__Host-sandlot-session', '__Host-sandlot-form'])
    for (const rest of ['', '; Secure'])
      await attempt('cookie', () => (document.cookie = name + '=tossed; Path=/' + (domain && '; Domain=' + domain) + rest, 'set'))
}
await attempt('own cookies', () => document.cookie)
await Promise.all(api.map(async (origin) => {
  const page = origin + '/docs/api/cli?cliVersion=1&next=' + encodeURIComponent(CLI)
  await attempt('read with cookies', () => fetch(page, { credentials: 'include' }).then((answer) => answer.text()))
  await attempt('read without', () => fetch(origin + '/v2/sandboxes').then((answer) => answer.text()))
  for (const mode of ['cors', 'no-cors'])
    await attempt('act ' + mode, () => fetch(origin + '/docs/api/cli', {
      method: 'POST', mode, credentials: 'include',
      body: new URLSearchParams({ next: CLI, cliVersion: '1', formToken: 'x', decision: 'allow' }),
    }).then((answer) => answer.text()))
  await attempt('frame', () => {
    const frame = document.createElement('iframe')
    frame.src = page
    document.body.append(frame)
    return within(1500, new Promise((resolve) => (frame.onload = () => resolve(frame.contentDocument.body.innerText))))
  })
  await attempt('form in a frame', () => {
    const frame = document.createElement('iframe')
    frame.name = 'target' + got.length
    document.body.append(frame)
    const form = document.createElement('form')
    Object.assign(form, { method: 'post', action: origin + '/docs/api/cli', target: frame.name })
    for (const [name, value] of Object.entries({ next: CLI, cliVersion: '1', formToken: 'x', decision: 'allow' }))
      form.append(Object.assign(document.createElement('input'), { name, value }))
    document.body.append(form)
    form.submit()
    return within(1000, new Promise(() => {}))
  })
  await attempt('window', async () => {
    const other = open(page)
    await within(1500, new Promise(() => {}))
    try { return other.document.body.innerText } finally { other?.close() }
  })
}))
document.title = JSON.stringify(got)
</script>`

/** Serves the attack on 8080, and records the headers of every request. */
const PROGRAM = `
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

seen = []

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/seen":
            body = json.dumps(seen).encode()
        else:
            seen.append(self.headers.items())
            body = open("/home/user/attack.html", "rb").read()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", "sandlot-session=tossed; Domain=sandlot.localhost; Path=/")
        self.send_header("Set-Cookie", "app=1; Path=/")
        self.send_header("Clear-Site-Data", '"cookies"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()`

describe('a signed-in user who follows a link into a sandbox', () => {
  let browser: Browser
  let context: BrowserContext
  let sandbox: Sandbox
  let cli: Server
  /** Requests that reached the program that listens for tokens. */
  const told: string[] = []
  let signed = ''

  beforeAll(async () => {
    cli = createServer((request, response) => {
      told.push(String(request.url))
      response.end()
    })
    await new Promise<void>((resolve) => cli.listen(0, '127.0.0.1', resolve))
    const CLI = `http://127.0.0.1:${(cli.address() as AddressInfo).port}/x`
    sandbox = await Sandbox.create({ timeoutMs: 600_000 })
    await sandbox.files.write('/home/user/attack.html', ATTACK.replaceAll('CLI', JSON.stringify(CLI)))
    await sandbox.files.write('/home/user/program.py', PROGRAM)
    await sandbox.commands.run('python3 /home/user/program.py', { background: true, timeoutMs: 0 })
    const url = new URL(await sandbox.downloadUrl('/home/user/attack.html'))
    signed = `${url.pathname}${url.search}`
    browser = await launchChromium()
    context = await browser.newContext({ ignoreHTTPSErrors: true })
    for (const origin of API_ORIGINS) await signIn(origin)
  }, 120_000)
  afterAll(async () => {
    await browser?.close()
    cli?.close()
    await sandbox?.kill()
  })

  /** Bypasses the browser's network stack, which breaks pending requests when a slot comes or goes, and stores the cookies in the browser. */
  async function signIn(origin: string): Promise<void> {
    const page = await (await context.request.get(`${origin}/docs/sign-in`)).text()
    const formToken = /name="formToken" value="([^"]+)"/.exec(page)?.[1] ?? ''
    const form = { credential: env.E2B_API_KEY!, formToken }
    const answer = await context.request.post(`${origin}/docs/sign-in`, { form, headers: { origin } })
    expect(await answer.text()).toContain('This browser is signed in')
  }

  /** A script of a guest may have set cookies for the parent domain; what counts is that no page takes one for a session. */
  const sessions = async () =>
    (await context.cookies(API_ORIGINS)).filter(
      ({ name, value }) => name.endsWith('sandlot-session') && value !== 'tossed',
    )

  async function expectSignedInAsBefore(before: Awaited<ReturnType<typeof sessions>>): Promise<void> {
    const values = (list: typeof before) =>
      list.map(({ name, domain, value }) => [name, domain, value]).sort()
    expect(values(await sessions())).toEqual(values(before))
    for (const origin of API_ORIGINS) {
      const page = await context.newPage()
      await page.goto(`${origin}/docs/signed-in`)
      expect(await page.textContent('main')).toContain('You are admin@sandlot.localhost')
      await page.close()
    }
  }

  const own = (inner: number) => sandbox.getHost(inner)

  test.each([
    ["the sandbox's own host", () => `https://${own(49983)}${signed}`],
    ["the sandbox's own host, without TLS", () => `http://${own(49983)}${signed}`],
    ['the host that sandboxes share', () => `https://sandbox.${domain}${signed}`],
    ['the host that sandboxes share, without TLS', () => `http://sandbox.${domain}${signed}`],
    ['a shared name of this machine', () => `http://sandbox.localhost:${port}${signed}`],
  ])('by a signed download at %s sees it, and nothing runs', async (_, link) => {
    const before = await sessions()
    const page = await context.newPage()
    const answer = await page.goto(link())
    expect(answer?.status()).toBe(200)
    await page.waitForTimeout(500)
    expect(await page.title()).toBe('quiet')
    expect(await page.evaluate(() => self.origin)).toBe('null')
    await page.close()
    await expectSignedInAsBefore(before)
  })

  test.each(API_ORIGINS)('by a signed download at %s, the API, finds nothing', async (origin) => {
    const page = await context.newPage()
    const answer = await page.goto(`${origin}${signed}`)
    expect(answer?.status()).toBe(404)
    expect(answer?.headers()['content-type']).toContain('application/json')
    await page.close()
  })

  test.each([
    ['https', () => `https://${own(8080)}/`],
    ['http', () => `http://${own(8080)}/`],
  ])(
    'by a host link over %s gives the page nothing of the API',
    async (_, link) => {
      const before = await sessions()
      const page = await context.newPage()
      await page.goto(link())
      await page.waitForFunction(() => document.title.startsWith('['), undefined, { timeout: 100_000 })
      const got = JSON.parse(await page.title()) as [string, string][]
      await page.close()
      for (const [name, what] of got) {
        if (name === 'own cookies') expect(what).toContain('app=1')
        else if (name !== 'cookie')
          expect([name, what]).toEqual([name, expect.stringMatching(/^(refused|nothing|$)|"code":401/)])
        expect(what).not.toMatch(/admin@|formToken|accessToken/)
      }
      expect(got.length).toBeGreaterThan(40)
      expect(told).toEqual([])
      await expectSignedInAsBefore(before)
    },
    120_000,
  )

  test('sends the guest no cookie of the API', async () => {
    const page = await context.newPage()
    // cookies ignore ports, so a page at the same host name gets those of the API
    await context.addCookies(
      ['sandlot-session', 'sandlot-form', 'of-the-app'].map((name) => ({
        name,
        value: 'kept',
        url: `http://${own(8080)}`,
      })),
    )
    await page.goto(`http://${own(8080)}/`)
    await page.goto(`http://${own(8080)}/seen`)
    const seen = JSON.parse((await page.textContent('body')) ?? '') as [string, string][][]
    const cookies = seen.flat().filter(([name]) => name.toLowerCase() === 'cookie')
    expect(cookies.join()).toContain('of-the-app=kept')
    expect(cookies.join()).not.toContain('sandlot-')
    await page.close()
  })

  test('a page of an application may fetch a signed download', async () => {
    const page = await context.newPage()
    // Chromium lets no public page reach this machine, hence a page that is served from it
    await page.goto(`http://localhost:${(cli.address() as AddressInfo).port}/`)
    told.length = 0
    for (const origin of [`https://${own(49983)}`, `https://sandbox.${domain}`]) {
      const text = await page.evaluate(
        (url) => fetch(url).then((answer) => answer.text()),
        `${origin}${signed}`,
      )
      expect(text).toContain('<title>quiet</title>')
    }
    await page.close()
  })

  test("the API's reference still works under its policy", async () => {
    const page = await context.newPage()
    const problems: string[] = []
    page.on('console', (message) => {
      if (/Content Security Policy/.test(message.text())) problems.push(message.text())
    })
    page.on('pageerror', (error) => problems.push(String(error)))
    await page.goto(`http://localhost:${port}/reference/`)
    await page.getByText('Sandlot').first().waitFor({ timeout: 30_000 })
    expect(problems).toEqual([])
    await page.close()
  })
})
