import { once } from 'node:events'
import { request, type Server } from 'node:http'
import { ENVD_PORT, SandlotError } from '@sandlot/protocol'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { signFileUrl } from './signed-url.ts'
import { ask } from './test-support/raw-request.ts'
import { echo, newAddress, startEdge, startEnvd, startServer } from './test-support/sandbox-world.ts'

const ADDRESS = newAddress()
const TOKEN = '0tQG31xiMp0IOQfaz9dcwi72L1CPo8e0'
let world: Awaited<ReturnType<typeof startEdge>>
let app: Server & { port: number }
let envd: Server & { port: number }
/** Number of requests that reached the sandbox. */
let reached = 0

beforeAll(async () => {
  world = await startEdge()
  const count = (handle: typeof echo): typeof echo => {
    return (req, res) => {
      reached++
      return handle(req, res)
    }
  }
  app = await startServer(ADDRESS, count(echo))
  const sockets = new WebSocketServer({ noServer: true })
  app.on('upgrade', (req, socket, head) =>
    sockets.handleUpgrade(req, socket, head, (ws) => ws.on('message', (data) => ws.send(`back: ${data}`))),
  )
  envd = await startEnvd(ADDRESS, count(echo))
})
afterAll(async () => {
  await world.close()
  for (const server of [app, envd]) server.closeAllConnections()
  for (const server of [app, envd]) server.close()
})

const wake = () => {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  promise.catch(() => {})
  world.directory.onWake = async (entry) => {
    await promise
    entry.state = 'running'
    entry.address = ADDRESS
  }
  return { resolve, reject }
}
beforeEach(() => {
  reached = 0
  world.directory.wakes = 0
  // nothing answers at the address until the sandbox is resumed
  const asleep = { address: newAddress(), state: 'paused' as const, envdAccessToken: TOKEN }
  world.directory.add({ sandboxId: 'iasleep', ...asleep, wakesOnTraffic: true })
  world.directory.add({ sandboxId: 'isafe', ...asleep, wakesOnTraffic: true, trafficAccessToken: 'secret' })
  world.directory.add({ sandboxId: 'ideep', ...asleep, wakesOnTraffic: false })
  wake().resolve()
})

const to = (sandboxId: string, port: number, options: object = {}, headers: Record<string, string> = {}) =>
  ask(world.port, { headers: { host: `${port}-${sandboxId}.sandlot.localhost`, ...headers }, ...options })

describe('a request to a paused sandbox', () => {
  it('waits until the sandbox is resumed and goes with its body to the new address', async () => {
    const { resolve } = wake()
    const answer = to('iasleep', app.port, { method: 'POST', path: '/late', body: 'kept' })
    await expect.poll(() => world.directory.wakes).toBe(1)
    expect(reached).toBe(0)
    resolve()
    const { status, body } = await answer
    expect(status).toBe(200)
    expect(JSON.parse(body)).toMatchObject({ method: 'POST', url: '/late', body: 'kept' })
  })

  it('loses nothing of a large body that is sent during the wait', async () => {
    const { resolve } = wake()
    const body = 'x'.repeat(5_000_000)
    const answer = to('iasleep', app.port, { method: 'PUT', body })
    await expect.poll(() => world.directory.wakes).toBe(1)
    resolve()
    expect(JSON.parse((await answer).body).body).toHaveLength(body.length)
  })

  it('gets its answer when many wait at the same time', async () => {
    const { resolve } = wake()
    const answers = Promise.all(
      Array.from({ length: 50 }, (_, i) => to('iasleep', app.port, { path: `/${i}` })),
    )
    await expect.poll(() => world.directory.wakes).toBe(50)
    resolve()
    expect((await answers).map(({ body }) => JSON.parse(body).url)).toEqual(
      Array.from({ length: 50 }, (_, i) => `/${i}`),
    )
  })

  it('is answered with 502 when the sandbox does not resume on traffic, and resumes nothing', async () => {
    const answer = await to('ideep', app.port)
    expect([answer.status, world.directory.wakes]).toEqual([502, 0])
    expect(answer.body).toBe('{"sandboxId":"ideep","message":"The sandbox was not found","code":502}')
  })

  it.each([
    [
      new SandlotError('sandbox_capacity_unavailable', 'no memory', { retryAfterSeconds: 7 }),
      503,
      'no memory',
      '7',
    ],
    [new SandlotError('checkpoint_damaged', 'a bit flipped'), 500, 'a bit flipped', undefined],
    [new Error('secret inside'), 502, 'The sandbox could not be resumed', undefined],
  ])(
    'is answered with the reason why the sandbox could not be resumed (%s)',
    async (error, status, message, retryAfter) => {
      wake().reject(error)
      const answer = await to('iasleep', app.port)
      expect(JSON.parse(answer.body)).toEqual({ sandboxId: 'iasleep', message, code: status })
      expect([answer.status, answer.headers['retry-after']]).toEqual([status, retryAfter])
      expect(reached).toBe(0)
    },
  )

  it('is answered with 502 when the sandbox is gone before it could be resumed', async () => {
    world.directory.onWake = async ({ sandboxId }) => world.directory.kill(sandboxId)
    expect((await to('iasleep', app.port)).status).toBe(502)
  })

  it('whose client disconnects meanwhile neither reaches the sandbox nor affects others', async () => {
    const { resolve } = wake()
    const sent = request({
      host: '127.0.0.1',
      port: world.port,
      agent: false,
      headers: { host: `${app.port}-iasleep.sandlot.localhost` },
    })
    sent.on('error', () => {})
    sent.end()
    await expect.poll(() => world.directory.wakes).toBe(1)
    const left = new Promise((done) => sent.on('close', done))
    sent.destroy()
    await left
    resolve()
    expect((await to('iasleep', app.port)).status).toBe(200)
    expect(reached).toBe(1)
  })
})

describe('a paused sandbox is resumed', () => {
  it('with a traffic token only for callers that have the token', async () => {
    expect((await to('isafe', app.port)).status).toBe(403)
    expect((await to('isafe', app.port, {}, { 'e2b-traffic-access-token': 'wrong' })).status).toBe(403)
    expect([world.directory.wakes, reached]).toEqual([0, 0])
    expect((await to('isafe', app.port, {}, { 'e2b-traffic-access-token': 'secret' })).status).toBe(200)
  })

  it("on envd's port only for callers that have the access token", async () => {
    for (const headers of [{}, { 'x-access-token': 'wrong' }]) {
      const refused = await to('iasleep', ENVD_PORT, { path: '/health' }, headers as Record<string, string>)
      expect([refused.status, JSON.parse(refused.body).code]).toEqual([403, 403])
    }
    expect([world.directory.wakes, reached]).toEqual([0, 0])
    expect((await to('iasleep', ENVD_PORT, { path: '/health' }, { 'x-access-token': TOKEN })).status).toBe(
      200,
    )
  })

  it('never for a route of envd that only the server may call', async () => {
    const refused = await to(
      'iasleep',
      ENVD_PORT,
      { method: 'POST', path: '/init' },
      { 'x-access-token': TOKEN },
    )
    expect([refused.status, world.directory.wakes]).toEqual([404, 0])
  })

  it('for a signed URL only if this sandbox signed it and it has not expired', async () => {
    const url = (token: string, expiration = String(Math.floor(Date.now() / 1000) + 60)) => {
      const file = { path: 'f', username: 'user', operation: 'read' as const, expiration }
      const signature = encodeURIComponent(signFileUrl(file, token))
      return `/files?path=f&username=user&signature=${signature}&signature_expiration=${expiration}`
    }
    for (const path of [url('another'), url(TOKEN, '1700000000')])
      expect((await to('iasleep', ENVD_PORT, { path })).status).toBe(403)
    expect(world.directory.wakes).toBe(0)
    expect((await to('iasleep', ENVD_PORT, { path: url(TOKEN) })).status).toBe(200)
    expect(world.directory.wakes).toBe(1)
  })
})

describe('a WebSocket to a paused sandbox', () => {
  const open = (sandboxId: string) =>
    new WebSocket(`ws://127.0.0.1:${world.port}/ws`, {
      headers: { host: `${app.port}-${sandboxId}.sandlot.localhost` },
    })

  it('waits until the sandbox is resumed and then works', async () => {
    const { resolve } = wake()
    const ws = open('iasleep')
    await expect.poll(() => world.directory.wakes).toBe(1)
    resolve()
    await once(ws, 'open')
    ws.send('hello')
    expect(String((await once(ws, 'message'))[0])).toBe('back: hello')
    ws.terminate()
  })

  it.each(['ideep', 'isafe', 'iasleep'])(
    'is refused with a status when the sandbox cannot be resumed (%s)',
    async (sandboxId) => {
      wake().reject(new SandlotError('sandbox_capacity_unavailable', 'no memory'))
      const ws = open(sandboxId)
      ws.on('error', () => {})
      const [, response] = await once(ws, 'unexpected-response')
      expect(response.statusCode).toBe({ ideep: 502, isafe: 403, iasleep: 503 }[sandboxId])
      response.destroy()
    },
  )
})
