import * as current from 'code-interpreter-official'
import * as older from 'code-interpreter-official-2-3'
import * as onOurs from 'code-interpreter-on-ours'
import { afterAll, beforeAll, inject } from 'vitest'
import { sandboxUrlOf } from '../server.ts'
import { BUILD_TIMEOUT_MS, waitForTemplate } from './ready.ts'

export type Interpreter = InstanceType<typeof current.Sandbox>
export type Options = { envs?: Record<string, string>; timeoutMs?: number }

export const TEMPLATE = 'code-interpreter-v1'
export const current280 = { name: 'code-interpreter 2.8.0 with e2b 2.51.0', Sandbox: current.Sandbox }
export const clients = [
  current280,
  {
    name: 'code-interpreter 2.3.3 with e2b 2.51.0',
    Sandbox: older.Sandbox as unknown as typeof current.Sandbox,
  },
  {
    name: 'code-interpreter 2.8.0 with our e2b',
    Sandbox: onOurs.Sandbox as unknown as typeof current.Sandbox,
  },
]

/** `2.3.3` does not know E2B_SANDBOX_URL for port 49999: every client goes by host, as in the documentation. */
export function byHost(): void {
  delete process.env.E2B_API_URL
  delete process.env.E2B_SANDBOX_URL
}

/** Creates sandboxes once the template is ready; all are killed at the end of the `describe`. */
export function interpreters(
  client: { Sandbox: typeof current.Sandbox } = current280,
): (opts?: Options) => Promise<Interpreter> {
  const created: Interpreter[] = []
  beforeAll(async () => {
    await waitForTemplate(TEMPLATE)
    byHost()
  }, BUILD_TIMEOUT_MS)
  afterAll(async () => {
    await Promise.allSettled(created.map((sandbox) => sandbox.kill()))
  }, 60_000)
  return async (opts = {}) => {
    const sandbox = await client.Sandbox.create({ timeoutMs: 300_000, ...opts })
    created.push(sandbox)
    return sandbox
  }
}

/** One sandbox for all tests of a `describe`. */
export function sharedInterpreter(
  client?: { Sandbox: typeof current.Sandbox },
  opts?: Options,
): () => Interpreter {
  const create = interpreters(client)
  let sandbox: Interpreter | undefined
  beforeAll(async () => {
    sandbox = await create(opts)
  }, 60_000)
  return () => sandbox!
}

/** Sends a request to the service itself, as a stranger who knows only the public host. */
export const ask = (sandbox: Interpreter, path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(`${sandboxUrlOf(inject('server').domain)}${path}`, {
    signal: AbortSignal.timeout(60_000),
    ...init,
    headers: { 'E2b-Sandbox-Id': sandbox.sandboxId, 'E2b-Sandbox-Port': '49999', ...init.headers },
  })
