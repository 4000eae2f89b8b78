import * as ours from 'e2b'
import * as current from 'e2b-official'
import * as v1Dialect from 'e2b-official-2-31'
import { afterAll, beforeAll, describe, inject } from 'vitest'
import { sandboxUrlOf } from '../server.ts'

/** The server under test; tests/client-environment.ts has made this process trust its CA. */
export const server = inject('server')

function required(name: string): string {
  const value = server.env[name]
  if (!value) throw new Error(`${name} is missing in ${server.home}/env`)
  return value
}

export const apiKey = required('E2B_API_KEY')
export const apiUrl = required('E2B_API_URL')
export const domain = required('E2B_DOMAIN')
export const sandboxUrl = sandboxUrlOf(domain)

export type Sandbox = current.Sandbox
export type CommandHandle = Awaited<ReturnType<Sandbox['pty']['create']>>

export interface Client {
  name: string
  /** The package as users import it. Old versions have the same shape in everything that the tests use. */
  e2b: typeof current
  /** Environment variables by which the client finds the server. */
  environment: Record<'E2B_DOMAIN' | 'E2B_API_URL' | 'E2B_SANDBOX_URL', string | undefined>
}

/** Everything over TLS, HTTP/2 by ALPN: `https://api.<domain>` and `https://49983-<id>.<domain>`. */
const byHost = { E2B_DOMAIN: domain, E2B_API_URL: undefined, E2B_SANDBOX_URL: undefined }
/** Everything to one URL in plain HTTP; headers name the sandbox. */
const byUrl = { E2B_DOMAIN: domain, E2B_API_URL: apiUrl, E2B_SANDBOX_URL: sandboxUrl }

export const currentByHost: Client = {
  name: 'e2b 2.51.0 by host over TLS',
  e2b: current,
  environment: byHost,
}
export const currentByUrl: Client = {
  name: 'e2b 2.51.0 by E2B_SANDBOX_URL',
  e2b: current,
  environment: byUrl,
}
/** Creates and connects through the v1 routes. */
export const v1ByHost: Client = {
  name: 'e2b 2.31.0 by host over TLS',
  e2b: v1Dialect as unknown as typeof current,
  environment: byHost,
}
/** The package of this repository as it is published (built), with the official types, as it replaces the official one. */
const oursAsDropIn = ours as unknown as typeof current
export const oursByHost: Client = { name: 'ours by host over TLS', e2b: oursAsDropIn, environment: byHost }
export const oursByUrl: Client = { name: 'ours by E2B_SANDBOX_URL', e2b: oursAsDropIn, environment: byUrl }
export const clients = [currentByHost, currentByUrl, v1ByHost, oursByHost, oursByUrl]
/** Each client and each way once: for what does not depend on the way, such as states of sandboxes and commands inside. */
export const eachClient = [currentByHost, v1ByHost, oursByUrl]
/** Those that know what came after 2.31: forks, rebooting, secrets and volumes. */
export const eachNewClient = eachClient.filter((client) => client !== v1ByHost)

export function useEnvironment(client: Client): void {
  for (const [name, value] of Object.entries(client.environment)) {
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
  }
}

/** Runs the body once per client, with the environment that makes it find the server. */
export function describeClients(title: string, body: (client: Client) => void, which = clients): void {
  describe.each(which)(`${title}, $name`, (client) => {
    beforeAll(() => useEnvironment(client))
    body(client)
  })
}

/** As `describeClients`, for what does not depend on the way. */
export const describeEachClient = (title: string, body: (client: Client) => void): void =>
  describeClients(title, body, eachClient)

/** Marks the sandboxes of this test file, so that lists can be filtered by it. */
export const runId = `conformance-${process.pid}-${Date.now()}`

/** One sandbox for all tests of a `describe`, killed at its end. */
export function sharedSandbox(client: Client, opts: current.SandboxOpts = {}): () => Sandbox {
  let sandbox: Sandbox | undefined
  beforeAll(async () => {
    sandbox = await client.e2b.Sandbox.create({ timeoutMs: 600_000, metadata: { runId }, ...opts })
  }, 60_000)
  afterAll(async () => {
    await sandbox?.kill()
  }, 30_000)
  return () => sandbox!
}

/** Sandboxes that single tests create; all are killed at the end of the `describe`. */
export function ownSandboxes(client: Client): (opts?: current.SandboxOpts) => Promise<Sandbox> {
  const created: Sandbox[] = []
  afterAll(async () => {
    await Promise.allSettled(created.map((sandbox) => sandbox.kill()))
  }, 60_000)
  return async (opts = {}) => {
    const sandbox = await client.e2b.Sandbox.create({ timeoutMs: 120_000, metadata: { runId }, ...opts })
    created.push(sandbox)
    return sandbox
  }
}

/** The error that a promise rejects with; fails when it resolves. */
export async function rejection(promise: Promise<unknown>): Promise<Error> {
  let value: unknown
  try {
    value = await promise
  } catch (error) {
    return error as Error
  }
  throw new Error(`expected a rejection, but it resolved with ${JSON.stringify(value)?.slice(0, 200)}`)
}

/** A value that a callback will deliver; rejects when that does not happen within `timeoutMs`. */
export function signal<T>(timeoutMs = 15_000): { promise: Promise<T>; resolve: (value: T) => void } {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  const timer = setTimeout(() => reject(new Error(`nothing arrived within ${timeoutMs} ms`)), timeoutMs)
  promise.then(
    () => clearTimeout(timer),
    () => {},
  )
  return { promise, resolve }
}

/** Fetches with a deadline, so that no test hangs on a server that does not answer. */
export const fetchWithin = (url: string, init: RequestInit = {}, timeoutMs = 15_000): Promise<Response> =>
  fetch(url, { ...init, signal: AbortSignal.timeout(timeoutMs) })

/** Calls the REST API as any other client would. */
export const callApi = (path: string, init: RequestInit = {}): Promise<Response> =>
  fetchWithin(`${apiUrl}${path}`, { ...init, headers: { 'X-API-KEY': apiKey, ...init.headers } })
