import { type IncomingMessage, request } from 'node:http'
import { Sandbox } from 'e2b-official'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { guest, server } from './guest.ts'

const { port, domain, env } = server
const COOKIES =
  'app=1; sandlot-session=SESSION; __Host-sandlot-session=SESSION; sandlot-form=FORM; theme=dark'

/** A server that reports what arrived, and answers with every header that would take over a shared origin. */
const PROGRAM = `
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(self.headers.items()).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", "sandlot-session=tossed; Domain=sandlot.localhost; Path=/")
        self.send_header("Set-Cookie", "app=2; HttpOnly; domain=.SANDLOT.localhost; Path=/")
        self.send_header("Clear-Site-Data", '"cookies", "cache"')
        self.send_header("X-Content-Type-Options", "maybe")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()`

interface Answer {
  status: number
  headers: IncomingMessage['headers']
  body: string
}

/** Sends a request with any Host header, which undici would not allow. */
function ask(
  host: string,
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({
      host: '127.0.0.1',
      port,
      path,
      method,
      agent: false,
      headers: { host, ...headers },
      signal: AbortSignal.timeout(20_000),
    })
    sent.once('error', reject)
    sent.once('upgrade', (answer, socket) => {
      socket.destroy()
      resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: '' })
    })
    sent.once('response', async (answer) => {
      let body = ''
      for await (const chunk of answer) body += chunk
      resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body })
    })
    sent.end()
  })
}

const ofApi = [
  `localhost:${port}`,
  `127.0.0.1:${port}`,
  `[::1]:${port}`,
  '10.1.2.3',
  domain,
  `api.${domain}`,
  `${domain.replace(/:\d+$/, '')}.:${port}`,
  'my-server',
]
const shared = `sandbox.${domain}`
const jwt = (): string =>
  ['{"alg":"HS256","typ":"at+jwt"}', '{"iss":"sandlot","aud":"sandlot-api","sub":"x"}', 'x']
    .map((part) => Buffer.from(part).toString('base64url'))
    .join('.')

describe('origins', () => {
  const sandbox = guest()
  const routing = (port = 8080) => ({
    'E2b-Sandbox-Id': sandbox().sandboxId,
    'E2b-Sandbox-Port': String(port),
  })
  const own = (port: number) => sandbox().getHost(port)
  /** Headers that the program inside received, by lower-case name. */
  const arrived = ({ body }: Answer): Record<string, string> =>
    Object.fromEntries(
      (JSON.parse(body) as [string, string][]).map(([name, value]) => [name.toLowerCase(), value]),
    )
  let signed = ''

  beforeAll(async () => {
    await sandbox().files.write('/tmp/program.py', PROGRAM)
    await sandbox().commands.run('python3 /tmp/program.py', { background: true })
    await sandbox().files.write('/tmp/page.html', '<script>document.title = "ran"</script>')
    const url = new URL(await sandbox().downloadUrl('/tmp/page.html', { useSignatureExpiration: 600_000 }))
    signed = `${url.pathname}${url.search}`
    await vi.waitUntil(async () => (await ask(own(8080), '/')).status === 200, 20_000)
  })

  test.each(ofApi)('the API at %s serves nothing of a sandbox', async (host) => {
    for (const path of ['/', signed, '/files?path=/etc/hostname']) {
      const answer = await ask(host, path, routing())
      expect([path, answer.status, JSON.parse(answer.body)]).toMatchObject([path, 404, { code: 404 }])
    }
    expect((await ask(host, signed)).status).toBe(404)
    expect((await ask(host, signed, routing(49983))).status).toBe(404)
    const upgrade = { ...routing(), connection: 'Upgrade', upgrade: 'websocket' }
    expect((await ask(host, '/', upgrade)).status).toBe(400)
  })

  test.each(ofApi)('the API at %s answers calls that carry routing headers', async (host) => {
    const headers = { ...routing(49983), 'X-API-Key': env.E2B_API_KEY! }
    const answer = await ask(host, `/sandboxes/${sandbox().sandboxId}`, headers)
    expect([answer.status, JSON.parse(answer.body).sandboxID]).toEqual([200, sandbox().sandboxId])
  })

  test.each([shared, 'sandbox.localhost', 'sandbox.example.com'])(
    '%s serves sandboxes, and never the API',
    async (host) => {
      expect((await ask(host, '/', routing())).status).toBe(200)
      expect((await ask(host, signed)).body).toContain('<script>')
      for (const path of ['/health', '/docs/sign-in', '/v2/sandboxes', '/openapi.json'])
        expect([path, (await ask(host, path, { 'X-API-Key': env.E2B_API_KEY! })).status]).toEqual([path, 400])
    },
  )

  test("this server's cookies and credentials do not reach a guest, but those of an application do", async () => {
    const ways: [string, Record<string, string>][] = [
      [own(8080), {}],
      [shared, routing()],
    ]
    for (const [host, headers] of ways) {
      for (const credential of [env.E2B_API_KEY!, `Bearer ${jwt()}`, `Bearer sk_e2b_${'0'.repeat(40)}`]) {
        const sent = { ...headers, Cookie: COOKIES, Authorization: credential, 'X-API-Key': credential }
        const got = arrived(await ask(host, '/', sent))
        expect([host, got.cookie, got.authorization, got['x-api-key']]).toEqual([
          host,
          'app=1; theme=dark',
          undefined,
          undefined,
        ])
      }
      const sent = { ...headers, Authorization: 'Bearer of-the-application', 'X-API-Key': 'abc' }
      expect(arrived(await ask(host, '/', sent))).toMatchObject({
        authorization: 'Bearer of-the-application',
        'x-api-key': 'abc',
      })
    }
  })

  test('cookies that a guest sets stay within its own host', async () => {
    const { headers } = await ask(own(8080), '/')
    expect(headers['set-cookie']).toEqual(['sandlot-session=tossed; Path=/', 'app=2; HttpOnly; Path=/'])
    expect(headers['clear-site-data']).toBe('"cache"')
    expect(headers['content-security-policy']).toBeUndefined()
  })

  test('answers of a guest at the shared host set no cookies and run no scripts', async () => {
    const { headers } = await ask(shared, '/', routing())
    expect(headers['set-cookie']).toBeUndefined()
    expect(headers['clear-site-data']).toBeUndefined()
    expect(headers['content-security-policy']).toBe('sandbox')
    expect(headers['x-content-type-options']).toBe('nosniff')
  })

  test.each([
    ['the shared host', () => shared],
    ["the sandbox's own host", () => own(49983)],
  ])('a signed file at %s runs no scripts, and a page may fetch it', async (_, host) => {
    const { status, headers } = await ask(host(), signed, { origin: 'https://app.example.com' })
    expect(status).toBe(200)
    expect(headers['content-security-policy']).toBe('sandbox')
    expect(headers['x-content-type-options']).toBe('nosniff')
    expect(headers['access-control-allow-origin']).toBe('*')
  })

  test('a page may ask the shared host for any sandbox: preflights carry no routing headers', async () => {
    const { status, headers } = await ask(
      shared,
      '/process.Process/Start',
      {
        origin: 'https://app.example.com',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'e2b-sandbox-id,x-access-token',
      },
      'OPTIONS',
    )
    expect(status).toBe(204)
    expect(headers['access-control-allow-headers']).toContain('e2b-sandbox-id')
    expect(headers['access-control-allow-credentials']).toBeUndefined()
  })

  test('clients with what `source <home>/env` sets find files, commands and signed links', async () => {
    const again = await Sandbox.connect(sandbox().sandboxId)
    await again.files.write('/tmp/hello', 'hello')
    expect(await again.files.read('/tmp/hello')).toBe('hello')
    const link = await again.downloadUrl('/tmp/hello')
    expect(new URL(link).host).not.toBe(new URL(env.E2B_API_URL!).host)
    expect(await (await fetch(link)).text()).toBe('hello')
  })
})
