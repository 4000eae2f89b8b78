import type { Server } from 'node:http'
import { ENVD_PORT } from '@sandlot/protocol'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { signFileUrl } from './signed-url.ts'
import { type Answer, ask, sendRaw } from './test-support/raw-request.ts'
import { echo, newAddress, startEdge, startEnvd, startServer } from './test-support/sandbox-world.ts'

const ADDRESS = newAddress()
const TOKEN = '0tQG31xiMp0IOQfaz9dcwi72L1CPo8e0'
let world: Awaited<ReturnType<typeof startEdge>>
let app: Server & { port: number }
let envd: Server & { port: number }
let forwarded: number[] = []
let lateServer: Server | undefined

beforeAll(async () => {
  world = await startEdge({ maxConnectionsPerSandbox: 5, idleTimeoutMs: 500 })
  app = await startServer(ADDRESS, (request, response) => {
    if (request.url === '/silent') return
    if (request.url === '/broken') return void request.socket.end('nonsense\r\n\r\n')
    if (request.url === '/sized') return void response.writeHead(200, { 'content-length': 7 }).end()
    if (request.url === '/empty') return void response.writeHead(204).end()
    if (request.url === '/unchanged') return void response.writeHead(304, { etag: '"x"' }).end()
    if (request.url === '/trailers') {
      response.writeHead(200, {
        trailer: 'x-sum',
        'set-cookie': ['a=1', 'b=2'],
        'X-Custom': 'v',
        connection: 'x-hop',
        'x-hop': '1',
      })
      response.addTrailers({ 'x-sum': '42' })
      return void response.end('body')
    }
    void echo(request, response)
  })
  envd = await startEnvd(ADDRESS, async (request, response) => {
    if (request.url === '/pdf')
      return void response.writeHead(200, { 'content-type': 'application/pdf' }).end('%PDF')
    if (request.url !== '/forward') return echo(request, response)
    let body = ''
    for await (const chunk of request) body += chunk
    const { port } = JSON.parse(body) as { port: number }
    forwarded.push(port)
    if (port !== 45454) return void response.writeHead(404).end()
    lateServer = await startServer(ADDRESS, (_, late) => late.end('late'), port)
    response.writeHead(204).end()
  })
  world.directory.add({ sandboxId: 'iopen', address: ADDRESS, envdAccessToken: TOKEN })
  world.directory.add({ sandboxId: 'isafe', address: ADDRESS, trafficAccessToken: 'secret' })
  world.directory.add({
    sandboxId: 'imask',
    address: ADDRESS,
    maskRequestHost: 'app.example:${PORT}',
  })
  world.directory.add({ sandboxId: 'istarting', address: ADDRESS, state: 'paused' })
})
afterAll(async () => {
  await world.close()
  for (const server of [app, envd, lateServer]) server?.closeAllConnections()
  for (const server of [app, envd, lateServer]) server?.close()
})

const to = (
  sandboxId: string,
  port: number,
  path = '/',
  headers: Record<string, string | string[]> = {},
  rest = {},
) =>
  ask(world.port, { path, headers: { host: `${port}-${sandboxId}.sandlot.localhost`, ...headers }, ...rest })
const echoed = (answer: Answer) => JSON.parse(answer.body)
const browser = { accept: 'text/html,*/*', 'sec-fetch-mode': 'navigate' }

describe('a request that is not for a sandbox', () => {
  it('goes to the API', async () => {
    expect((await ask(world.port)).body).toBe('the API')
  })

  it('is answered with 400 when the host or headers make no sense', async () => {
    const bad = await ask(world.port, { headers: { host: 'nonsense.sandlot.localhost' } })
    expect([bad.status, bad.body]).toEqual([400, 'Invalid host'])
    const headers = { host: 'sandbox.sandlot.localhost', 'e2b-sandbox-id': 'iopen' }
    const half = await ask(world.port, { headers })
    expect([half.status, half.body]).toEqual([400, 'missing header'])
    const id = await ask(world.port, { headers: { host: '80-UPPER_.sandlot.localhost' } })
    expect([id.status, id.body]).toEqual([400, 'Invalid sandbox ID'])
  })
})

describe('a sandbox that does not run', () => {
  it.each(['igone', 'istarting', 'igone-sandlot'])('is 502 with the exact body (%s)', async (sandboxId) => {
    const answer = await to(sandboxId, 8080)
    expect(answer.status).toBe(502)
    expect(answer.headers['content-type']).toBe('application/json')
    expect(answer.body).toBe(`{"sandboxId":"${sandboxId}","message":"The sandbox was not found","code":502}`)
  })

  it('is answered with a page for a browser, and with JSON for scripts', async () => {
    const page = await to('igone', 8080, '/', browser)
    expect(page.status).toBe(502)
    expect(page.headers['content-type']).toContain('text/html')
    expect(page.body).toContain('The sandbox was not found')
    const old = await to('igone', 8080, '/', { accept: 'text/html', 'user-agent': 'Mozilla/5.0' })
    expect(old.headers['content-type']).toContain('text/html')
    const script = await to('igone', 8080, '/', { ...browser, 'sec-fetch-mode': 'cors' })
    expect(script.headers['content-type']).toBe('application/json')
  })
})

describe('a closed port', () => {
  it('is answered within a second with 502 and the port, after envd was asked to forward the port', async () => {
    forwarded = []
    const start = performance.now()
    const answer = await to('iopen', 4)
    expect(performance.now() - start).toBeLessThan(1000)
    expect(answer.status).toBe(502)
    expect(answer.body).toBe(
      '{"sandboxId":"iopen","message":"The sandbox is running but port is not open","port":4,"code":502}',
    )
    expect(forwarded).toEqual([4])
    expect((await to('iopen', 4, '/', browser)).body).toContain('Start a server on port 4')
  })

  it('asks envd once for concurrent requests', async () => {
    forwarded = []
    await Promise.all([to('iopen', 5), to('iopen', 5), to('iopen', 5)])
    expect(forwarded).toEqual([5])
  })

  it('works once envd forwards the port', async () => {
    expect((await to('iopen', 45454)).body).toBe('late')
  })
})

describe('the traffic token', () => {
  it('is required, and the error has the exact text', async () => {
    const answer = await to('isafe', app.port)
    expect(answer.status).toBe(403)
    expect(JSON.parse(answer.body)).toEqual({
      sandboxId: 'isafe',
      message:
        "Sandbox is secured with traffic access token. Token header 'e2b-traffic-access-token' is missing",
      code: 403,
    })
    expect((await to('isafe', app.port, '/', { 'e2b-traffic-access-token': 'wrong' })).status).toBe(403)
  })

  it('opens the port and does not reach the sandbox', async () => {
    const answer = await to('isafe', app.port, '/', { 'E2B-Traffic-Access-Token': 'secret' })
    expect(answer.status).toBe(200)
    expect(answer.body).not.toContain('secret')
  })

  it("is not required on envd's port", async () => {
    expect((await to('isafe', ENVD_PORT, '/health')).status).toBe(200)
  })
})

describe("envd's control routes", () => {
  it.each(['/init', '//init', '/./INIT', '/%69nit', '/forward?x=1'])(
    'do not exist through the edge: %s',
    async (path) => {
      const answer = await to('iopen', ENVD_PORT, path, {}, { method: 'POST' })
      expect(answer.status).toBe(404)
      expect(JSON.parse(answer.body).code).toBe(404)
    },
  )

  it('cannot be reached by an absolute URL', async () => {
    const head = `Host: ${ENVD_PORT}-iopen.sandlot.localhost\r\nConnection: close\r\n\r\n`
    expect(await sendRaw(world.port, `POST http://x/init HTTP/1.1\r\n${head}`)).toMatch(/^HTTP\/1.1 400 /)
    expect(await sendRaw(world.port, `POST init HTTP/1.1\r\n${head}`)).toMatch(/^HTTP\/1.1 400 /)
  })

  it('are ordinary routes on other ports', async () => {
    expect((await to('iopen', app.port, '/init')).status).toBe(200)
  })
})

describe('a signed URL without ids', () => {
  it('finds its sandbox by the signature', async () => {
    const url = { path: 'hello.txt', operation: 'read', username: 'user' } as const
    const query = new URLSearchParams({
      path: url.path,
      username: url.username,
      signature: signFileUrl(url, TOKEN),
    })
    const headers = { host: 'sandbox.sandlot.localhost' }
    const answer = await ask(world.port, { path: `/files?${query}`, headers })
    expect(echoed(answer).url).toBe(`/files?${query}`)
    const wrong = await ask(world.port, { path: `/files?${query}`, headers, method: 'POST' })
    expect([wrong.status, wrong.body]).toEqual([401, '{"code":401,"message":"invalid signature"}'])
  })
})

describe('between a client and a guest', () => {
  const key = `e2b_${'0'.repeat(40)}`
  const credentials = {
    cookie: `a=1; sandlot-session=s; __Host-sandlot-form=f; b=2`,
    'x-api-key': key,
    'x-team-id': 'team',
    'x-admin-token': 'x',
    authorization: 'Bearer anything',
  }

  it("envd's port gets no credentials of the API, also when something else listens there", async () => {
    const { headers } = echoed(await to('iopen', ENVD_PORT, '/', { ...credentials, 'x-access-token': 't' }))
    expect(headers).toMatchObject({ cookie: 'a=1; b=2', 'x-access-token': 't' })
    for (const name of ['x-api-key', 'x-team-id', 'x-admin-token', 'authorization'])
      expect(headers).not.toHaveProperty(name)
    const basic = echoed(await to('iopen', ENVD_PORT, '/', { authorization: 'Basic dXNlcjo=' }))
    expect(basic.headers.authorization).toBe('Basic dXNlcjo=')
  })

  it('ports of users get the headers of applications, but nothing that has the form of credentials of the API', async () => {
    const { headers } = echoed(await to('iopen', app.port, '/', credentials))
    expect(headers).toMatchObject({
      cookie: 'a=1; b=2',
      authorization: 'Bearer anything',
      'x-team-id': 'team',
    })
    expect(headers).not.toHaveProperty('x-api-key')
    const ours = echoed(
      await to('iopen', app.port, '/', { authorization: `Bearer sk_${key}`, cookie: 'sandlot-form=f' }),
    )
    expect(ours.headers).not.toHaveProperty('authorization')
    expect(ours.headers).not.toHaveProperty('cookie')
  })

  it("answers of envd's port are data to browsers, which may still show a PDF", async () => {
    for (const path of ['/page', '/files?path=x'])
      expect((await to('iopen', ENVD_PORT, path)).headers).toMatchObject({
        'x-content-type-options': 'nosniff',
        'content-security-policy': 'sandbox',
      })
    const pdf = await to('iopen', ENVD_PORT, '/pdf')
    expect(pdf.headers['x-content-type-options']).toBe('nosniff')
    expect(pdf.headers).not.toHaveProperty('content-security-policy')
  })

  it('an upgrade request to the API is answered with 400', async () => {
    const head = `GET / HTTP/1.1\r\nHost: localhost\r\nE2b-Sandbox-Id: iopen\r\nE2b-Sandbox-Port: ${app.port}\r\n`
    const answer = await sendRaw(world.port, `${head}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`)
    expect(answer).toMatch(/^HTTP\/1.1 400 /)
  })
})

describe('a request', () => {
  it('arrives with its method, URL, body, case and repetitions', async () => {
    const headers = { 'X-MiXed': 'a', 'x-many': ['1', '2'], 'X-Access-Token': 't' }
    const seen = echoed(await to('iopen', app.port, '/a%20b?c=d', headers, { method: 'PATCH', body: 'data' }))
    expect(seen).toMatchObject({ method: 'PATCH', url: '/a%20b?c=d', body: 'data' })
    expect(seen.rawHeaders).toContain('X-MiXed')
    expect(seen.rawHeaders.filter((name: string) => name === 'x-many')).toHaveLength(2)
    expect(seen.headers).toMatchObject({ 'x-access-token': 't', host: `${app.port}-iopen.sandlot.localhost` })
  })

  it('has forwarding headers on ports of users, but not on the port of envd', async () => {
    const seen = echoed(
      await to('iopen', app.port, '/', { 'x-forwarded-for': '1.2.3.4', 'x-forwarded-proto': 'https' }),
    )
    expect(seen.headers).toMatchObject({
      'x-forwarded-for': '1.2.3.4, 127.0.0.1',
      'x-forwarded-proto': 'http',
      'x-forwarded-host': `${app.port}-iopen.sandlot.localhost`,
    })
    expect(echoed(await to('iopen', ENVD_PORT)).headers).not.toHaveProperty('x-forwarded-for')
  })

  it('gets the masked host on ports of users', async () => {
    expect(echoed(await to('imask', app.port)).headers.host).toBe(`app.example:${app.port}`)
    expect(echoed(await to('imask', ENVD_PORT)).headers.host).toBe(`${ENVD_PORT}-imask.sandlot.localhost`)
  })

  it('may choose the local host that the program sees, on ports of users', async () => {
    const seen = async (port: number, host: string, id = 'iopen') =>
      echoed(await to(id, port, '/', { 'e2b-sandbox-host': host })).headers
    expect(await seen(app.port, 'localhost:5000')).toMatchObject({ host: 'localhost:5000' })
    expect(await seen(app.port, 'localhost:5000')).not.toHaveProperty('e2b-sandbox-host')
    expect((await seen(app.port, 'localhost:5000', 'imask')).host).toBe(`app.example:${app.port}`)
    expect((await seen(app.port, 'bank.example')).host).toBe(`${app.port}-iopen.sandlot.localhost`)
    expect((await seen(ENVD_PORT, 'localhost')).host).toBe(`${ENVD_PORT}-iopen.sandlot.localhost`)
  })

  it('loses its hop-by-hop headers, but no header that frames or authorises the request', async () => {
    const headers = {
      connection: 'close, x-hop, content-length, x-access-token',
      'x-hop': '1',
      'keep-alive': '9',
      'x-access-token': 't',
    }
    const seen = echoed(await to('iopen', app.port, '/', headers, { method: 'POST', body: 'data' }))
    expect(seen.headers).not.toHaveProperty('x-hop')
    expect(seen.headers).not.toHaveProperty('keep-alive')
    expect(seen.headers['x-access-token']).toBe('t')
    expect(seen.body).toBe('data')
  })

  it('with Expect: 100-continue is continued, and its trailers are forwarded', async () => {
    const host = `Host: ${app.port}-iopen.sandlot.localhost\r\nConnection: close\r\n`
    const chunked = 'Transfer-Encoding: chunked\r\nTrailer: x-end\r\n\r\n3\r\nabc\r\n0\r\nx-end: yes\r\n\r\n'
    const answer = await sendRaw(world.port, `POST / HTTP/1.1\r\n${host}Expect: 100-continue\r\n${chunked}`)
    expect(answer).toMatch(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 OK/)
    expect(answer).toContain('"body":"abc"')
    expect(answer).toContain('"rawTrailers":["x-end","yes"]')
  })
})

describe('an answer', () => {
  it('keeps cookies, trailers and the case of names, and loses its hop-by-hop headers', async () => {
    const answer = await to('iopen', app.port, '/trailers')
    expect(answer.headers['set-cookie']).toEqual(['a=1', 'b=2'])
    expect(answer.rawHeaders).toContain('X-Custom')
    expect(answer.trailers).toEqual({ 'x-sum': '42' })
    expect(answer.headers).not.toHaveProperty('x-hop')
  })

  it('without a body is forwarded without a body', async () => {
    expect(await to('iopen', app.port, '/empty')).toMatchObject({ status: 204, body: '' })
    expect(await to('iopen', app.port, '/unchanged')).toMatchObject({
      status: 304,
      body: '',
      headers: { etag: '"x"' },
    })
    const head = await to('iopen', app.port, '/sized', {}, { method: 'HEAD' })
    expect(head.status).toBe(200)
    expect(Number(head.headers['content-length'])).toBe(7)
  })

  it('is 502 when it is not HTTP, and 504 when it never arrives', async () => {
    expect((await to('iopen', app.port, '/broken')).status).toBe(502)
    expect((await to('iopen', app.port, '/silent')).status).toBe(504)
  })

  it('that is missing after the app received the request tells clients not to repeat the request', async () => {
    const shouldRetry = async (port: number, path: string) =>
      (await to('iopen', port, path)).headers['should-retry']
    expect(await shouldRetry(app.port, '/broken')).toBe('false')
    expect(await shouldRetry(app.port, '/silent')).toBe('false')
    expect(await shouldRetry(4, '/')).toBeUndefined()
    expect((await to('igone', 8080)).headers).not.toHaveProperty('should-retry')
  })

  it('has exact words for a missing sandbox and a closed port, and neither of them otherwise', async () => {
    // PyPI e2b 2.63 chooses its exception by exactly these words
    expect((await to('igone', ENVD_PORT)).body).toContain('was not found')
    expect((await to('iopen', 4)).body).toContain('port is not open')
    for (const path of ['/broken', '/silent'])
      expect((await to('iopen', app.port, path)).body).not.toMatch(/was not found|port is not open/)
  })
})

it('more concurrent requests than allowed are answered with 429 and Retry-After', async () => {
  const answers = await Promise.all(Array.from({ length: 7 }, () => to('iopen', app.port, '/silent')))
  const refused = answers.filter(({ status }) => status === 429)
  expect(refused).toHaveLength(2)
  expect(refused[0]?.headers['retry-after']).toBe('1')
  expect((await to('iopen', app.port)).status).toBe(200)
})

it('a kept-alive connection that the sandbox has closed is replaced transparently', async () => {
  let connections = 0
  const server = await startServer(ADDRESS, (request, response) => {
    const { socket } = request
    response.end('ok', () => setImmediate(() => socket.resetAndDestroy()))
  })
  server.on('connection', () => connections++)
  const answers = []
  for (let i = 0; i < 20; i++) answers.push((await to('iopen', server.port)).body)
  server.close()
  expect(answers).toEqual(Array(20).fill('ok'))
  expect(connections).toBeGreaterThanOrEqual(20)
})

it('a page of another origin can read why its request was refused', async () => {
  const preflight = await to(
    'igone',
    ENVD_PORT,
    '/health',
    { 'access-control-request-method': 'GET', 'access-control-request-headers': 'x-access-token' },
    { method: 'OPTIONS' },
  )
  expect(preflight).toMatchObject({
    status: 204,
    headers: { 'access-control-allow-origin': '*', 'access-control-allow-headers': 'x-access-token' },
  })
  const refused = await to('igone', ENVD_PORT, '/health', { origin: 'https://app.example' })
  expect(refused).toMatchObject({ status: 502, headers: { 'access-control-allow-origin': '*' } })
})
