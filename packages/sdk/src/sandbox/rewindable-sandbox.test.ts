import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { CheckpointNotFoundError, SandboxNotFoundError } from '../errors.ts'
import { Sandbox } from './sandbox.ts'

const CHECKPOINT = {
  checkpointID: 'c2',
  parentID: 'c1',
  createdAt: '2026-01-02T03:04:05.678Z',
  why: 'checkpoint',
  memory: true,
  sizeBytes: 7,
  isHead: true,
  names: ['team/ready:default'],
}
const READ = {
  checkpointId: 'c2',
  parentId: 'c1',
  createdAt: new Date('2026-01-02T03:04:05.678Z'),
  why: 'checkpoint',
  hasMemory: true,
  sizeBytes: 7,
  isHead: true,
  names: ['team/ready:default'],
}

let server: Server
let sandbox: Sandbox
let apiUrl: string
let asked: { method?: string; url?: string; body?: unknown; key?: unknown }[]
let answer: { status: number; body?: unknown }

beforeAll(async () => {
  server = createServer(async (request, response) => {
    const { method, url, headers } = request
    const hasBody = headers['content-type'] === 'application/json'
    asked.push({ method, url, body: hasBody ? await json(request) : undefined, key: headers['x-api-key'] })
    response.writeHead(answer.status, { 'content-type': 'application/json' })
    response.end(answer.body === undefined ? undefined : JSON.stringify(answer.body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  apiUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  sandbox = new Sandbox({ sandboxId: 'iabc', envdVersion: '0.6.13', apiKey: 'e2b_1', apiUrl })
})
beforeEach(() => void (asked = []))
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

describe('a sandbox that can be rewound', () => {
  test('sends no body to make a checkpoint, and reads the answer', async () => {
    answer = { status: 201, body: CHECKPOINT }
    expect(await sandbox.checkpoint()).toEqual(READ)
    expect(asked).toEqual([
      { method: 'POST', url: '/sandboxes/iabc/checkpoints', body: undefined, key: 'e2b_1' },
    ])
  })

  test('is rolled back to a checkpoint', async () => {
    answer = {
      status: 200,
      body: { sandboxID: 'iabc', templateID: 't', clientID: 'c', envdVersion: '0.6.13' },
    }
    expect(await sandbox.rollback('c1')).toBeUndefined()
    expect(asked).toMatchObject([{ url: '/sandboxes/iabc/rollback', body: { checkpointID: 'c1' } }])
  })

  test('has a tree whose first checkpoint has no parent', async () => {
    const checkpoints = [{ ...CHECKPOINT, checkpointID: 'c1', parentID: null, isHead: false }, CHECKPOINT]
    answer = { status: 200, body: { sandboxID: 'iabc', keep: { last: 3 }, checkpoints } }
    const tree = await sandbox.tree()
    expect(tree).toMatchObject({ sandboxId: 'iabc', keep: { last: 3 } })
    expect(tree.checkpoints[0]).not.toHaveProperty('parentId')
    expect(tree.checkpoints[1]).toEqual(READ)
    expect(asked).toMatchObject([{ method: 'GET', url: '/sandboxes/iabc/tree' }])
  })

  test('lets the server choose the checkpoints of a diff by default', async () => {
    const diff = { from: 'c1', to: 'c2', added: ['/a'], changed: [], deleted: [], isTruncated: false }
    answer = { status: 200, body: diff }
    expect(await sandbox.diff()).toEqual(diff)
    await sandbox.diff({ from: 'c1', to: 'c2' })
    expect(asked.map(({ url }) => url)).toEqual([
      '/sandboxes/iabc/diff',
      '/sandboxes/iabc/diff?from=c1&to=c2',
    ])
  })

  test('sends the keep policy without the options of the request', async () => {
    answer = { status: 204 }
    await sandbox.keep({ last: 0, requestTimeoutMs: 5_000 })
    await sandbox.keep({ last: 2, maxAgeSeconds: 60, apiKey: 'e2b_2' })
    expect(asked).toMatchObject([
      { method: 'PUT', url: '/sandboxes/iabc/keep', body: { last: 0 }, key: 'e2b_1' },
      { body: { last: 2, maxAgeSeconds: 60 }, key: 'e2b_2' },
    ])
    expect(Object.keys(asked[0]!.body as object)).toEqual(['last'])
  })

  test('can be addressed by id with the static methods', async () => {
    const opts = { apiKey: 'e2b_3', apiUrl }
    answer = { status: 201, body: CHECKPOINT }
    expect(await Sandbox.checkpoint('ixyz', opts)).toEqual(READ)
    answer = { status: 200, body: {} }
    await Sandbox.rollback('ixyz', 'c1', opts)
    answer = { status: 204 }
    await Sandbox.keep('ixyz', { last: 1, ...opts })
    expect(asked.map(({ url, key }) => `${url} ${key}`)).toEqual([
      '/sandboxes/ixyz/checkpoints e2b_3',
      '/sandboxes/ixyz/rollback e2b_3',
      '/sandboxes/ixyz/keep e2b_3',
    ])
  })

  test('tells a missing checkpoint from a missing sandbox', async () => {
    const missing = (name: string) => ({
      status: 404,
      body: { code: 404, message: 'gone', error_code: name },
    })
    answer = missing('checkpoint_not_found')
    await expect(sandbox.rollback('c1')).rejects.toThrow(new CheckpointNotFoundError('gone'))
    answer = missing('not_found')
    await expect(sandbox.diff()).rejects.toThrow(new SandboxNotFoundError('gone'))
    await expect(sandbox.rollback('c1')).rejects.not.toBeInstanceOf(CheckpointNotFoundError)
  })

  test('reports why a checkpoint is refused', async () => {
    answer = { status: 409, body: { code: 409, message: 'it is paused' } }
    await expect(sandbox.checkpoint()).rejects.toMatchObject({
      name: 'SandboxError',
      statusCode: 409,
      message: '409: it is paused',
    })
  })
})
