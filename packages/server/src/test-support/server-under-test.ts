import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { afterEach, beforeEach, expect } from 'vitest'
import { type ControlPlane, createServer } from '../control-plane.ts'
import type { ControlPlaneOptions } from '../options.ts'
import { openStore, type Store } from '../store/open-store.ts'
import type { PlansTable } from '../store/schema.ts'
import { checkAnswers } from './answer-checks.ts'
import { Browser } from './browser.ts'
import { newTestDatabase, type TestDatabase } from './database.ts'
import { NodeDouble } from './node-double.ts'
import { KeysInMemory } from './secrets-keys.ts'

export type Method = 'GET' | 'POST' | 'DELETE' | 'PUT' | 'PATCH'

export interface Answer {
  status: number
  headers: Record<string, unknown>
  // biome-ignore lint/suspicious/noExplicitAny: tests read what they expect
  body: any
}

/** A control plane with a separate database for each test, and a clock that only the test moves. */
export class ServerUnderTest {
  node = new NodeDouble()
  readonly secretsKeys = new KeysInMemory()
  server!: ControlPlane
  key = ''
  now = Date.now()
  readonly #directory: string
  readonly #options: Partial<ControlPlaneOptions>
  #database: TestDatabase | undefined
  readonly #abandoned: ControlPlane[] = []

  constructor(directory: string, options: Partial<ControlPlaneOptions> = {}) {
    this.#options = options
    this.#directory = directory
  }

  /** URL of the database that the next `open` uses; tests may insert rows before. */
  get storeUrl(): string {
    return this.database.url
  }

  get database(): TestDatabase {
    if (!this.#database) throw new Error('the server was not opened yet')
    return this.#database
  }

  set database(database: TestDatabase) {
    this.#database = database
  }

  async open(): Promise<void> {
    this.#database ??= await newTestDatabase(this.#directory)
    this.server = await createServer({
      store: await openStore(this.storeUrl),
      node: this.node,
      uploadsDir: join(this.#directory, 'uploads'),
      builds: { concurrency: 2, timeoutMs: 60_000 },
      domain: 'sandlot.test',
      secretsKeys: this.secretsKeys,
      logger: pino({ level: 'silent' }),
      now: () => this.now,
      ...this.#options,
    })
    await this.server.start()
    this.key = await this.server.ensureDefaultTeam(this.key)
  }

  /** Opens another server after a crash: nothing was closed or drained. */
  async crash(): Promise<void> {
    this.#abandoned.push(this.server)
    this.node.disconnect()
    await this.open()
  }

  async close(): Promise<void> {
    for (const server of [this.server, ...this.#abandoned]) await server.close(0)
    await this.#database?.remove()
  }

  /** Reads and writes the database beside the server, like another process. */
  async inStore<T>(work: (store: Store) => Promise<T>): Promise<T> {
    const store = await openStore(this.storeUrl)
    try {
      return await work(store)
    } finally {
      await store.destroy()
    }
  }

  /** Gives the default team a plan with these limits. */
  async limit(plan: Partial<PlansTable>): Promise<void> {
    const unlimited = {
      concurrent_sandboxes: null,
      creates_per_second: null,
      max_length_hours: null,
      requests_per_second: null,
    }
    await this.inStore(async (store) => {
      await store
        .insertInto('plans')
        .values({ name: 'small', ...unlimited, ...plan })
        .execute()
      await store.updateTable('teams').set({ plan: 'small' }).execute()
    })
    // longer than the team of a key is cached
    this.now += 10_000
  }

  async call(
    method: Method,
    url: string,
    payload?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer> {
    const response = await this.server.fastify.inject({
      method,
      url,
      headers: {
        ...(headers ?? { 'x-api-key': this.key }),
        ...(payload === undefined ? {} : { 'content-type': 'application/json' }),
      },
      payload: payload === undefined ? undefined : JSON.stringify(payload),
    })
    const isText = String(response.headers['content-type']).startsWith('text/')
    return {
      status: response.statusCode,
      headers: response.headers,
      body: isText ? response.body : response.body ? response.json() : undefined,
    }
  }

  /** Posts a form like the CLI does to the OAuth endpoints. */
  async post(url: string, fields: Record<string, string>): Promise<Answer> {
    const response = await this.server.fastify.inject({
      method: 'POST',
      url,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      remoteAddress: '192.0.2.10',
      payload: new URLSearchParams(fields).toString(),
    })
    const body = response.body ? response.json() : undefined
    return { status: response.statusCode, headers: response.headers, body }
  }

  /** @param origin origin of the server as the browser sees it; https simulates a proxy that terminates TLS */
  browser(origin = 'https://sandlot.test'): Browser {
    return new Browser(origin, async ({ method, url, headers, body }) => {
      const response = await this.server.fastify.inject({
        method,
        url: url.pathname + url.search,
        remoteAddress: '192.0.2.10',
        headers: { host: url.host, 'x-forwarded-proto': url.protocol.slice(0, -1), ...headers },
        payload: body,
      })
      const { location, 'set-cookie': setCookie = [] } = response.headers
      return {
        status: response.statusCode,
        setCookies: [setCookie].flat(),
        location: location as string | undefined,
        headers: response.headers as Record<string, string>,
        text: response.body,
      }
    })
  }

  /** Signs the CLI in and returns its tokens. */
  async logIn(): Promise<{ accessToken: string; refreshToken: string }> {
    const browser = this.browser()
    await browser.open('/docs/api/cli?next=http://localhost:5000&cliVersion=2.19.0')
    await browser.submit({ credential: this.key })
    await browser.follow()
    await browser.submit({ decision: 'allow' })
    const { accessToken, refreshToken } = Object.fromEntries(new URL(browser.page.location!).searchParams)
    return { accessToken: accessToken!, refreshToken: refreshToken! }
  }

  async create(body: Record<string, unknown> = {}) {
    return (await this.call('POST', '/v2/sandboxes', { templateID: 'base', ...body })).body as {
      sandboxID: string
      templateID: string
      envdAccessToken?: string
      trafficAccessToken: string | null
    }
  }

  /** Moves the clock by one second, then calls an action of a sandbox. */
  act(sandboxId: string, what: string, body: object = {}) {
    this.now += 1_000
    return this.call('POST', `/sandboxes/${sandboxId}/${what}`, body)
  }

  snapshot = (sandboxId: string, name?: string) =>
    this.act(sandboxId, 'snapshots', name === undefined ? {} : { name })
  treeOf = async (sandboxId: string) =>
    (await this.call('GET', `/sandboxes/${sandboxId}/tree`)).body.checkpoints
  deleteTemplate = (id: string) => this.call('DELETE', `/templates/${encodeURIComponent(id)}`)
  statusOf = async (sandboxId: string) => (await this.call('GET', `/sandboxes/${sandboxId}`)).status
  eventsOf = async (sandboxId: string) =>
    (await this.call('GET', `/events/sandboxes/${sandboxId}?orderAsc=true`)).body as Array<{
      type: string
      event_data: Record<string, unknown>
    }>
}

/** Answers of the servers under test that differ from `/openapi.json`. */
const violations: string[] = []
checkAnswers((violation) => violations.push(violation))

/** Opens a server for each test of the file; a test fails when an answer differs from `/openapi.json`. */
export function serverUnderTest(options: Partial<ControlPlaneOptions> = {}): { current: ServerUnderTest } {
  const holder = {} as { current: ServerUnderTest }
  let directory: string
  beforeEach(async () => {
    // those of other test files in this process
    violations.length = 0
    directory = mkdtempSync(join(tmpdir(), 'sandlot-server-test-'))
    holder.current = new ServerUnderTest(directory, options)
    await holder.current.open()
  })
  afterEach(async () => {
    await holder.current.close()
    rmSync(directory, { recursive: true, force: true })
    expect(violations.splice(0)).toEqual([])
  })
  return holder
}
