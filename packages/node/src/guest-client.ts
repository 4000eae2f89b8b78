import { setTimeout as delay } from 'node:timers/promises'
import { ENVD_PORT, SandlotError } from '@sandlot/protocol'
import { Client } from 'undici'

const REQUEST_TIMEOUT_MS = 10_000
const HEALTH_TIMEOUT_MS = 1_000
const KEEP_ALIVE_MS = 600_000

/** Run by `/bin/bash -l -c`. */
export interface LoginCommand {
  command: string
  user: string
  /** Absent: the user's home. */
  cwd?: string
  envs?: Record<string, string>
}

/** Talks to the control routes of one machine's envd, over one connection that is kept. */
export interface GuestClient {
  isHealthy(): Promise<boolean>
  /** Resolves when envd answers. @throws SandlotError operation_timeout */
  waitUntilHealthy(timeoutMs: number): Promise<void>
  post(path: string, body: unknown): Promise<void>
  /** Waits for its end, which comes with the time limit at the latest; what it prints is dropped. */
  runCommand(command: LoginCommand, timeoutMs: number): Promise<void>
  close(): void
}

export function createGuestClient(address: string, port = ENVD_PORT): GuestClient {
  const client = new Client(`http://${address}:${port}`, {
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
    connect: { timeout: HEALTH_TIMEOUT_MS },
    headersTimeout: REQUEST_TIMEOUT_MS,
    bodyTimeout: REQUEST_TIMEOUT_MS,
  })
  client.on('disconnect', () => {})

  async function isHealthy(): Promise<boolean> {
    try {
      const { statusCode, body } = await client.request({
        method: 'GET',
        path: '/health',
        signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS),
      })
      await body.dump()
      return statusCode === 204
    } catch {
      return false
    }
  }

  return {
    isHealthy,
    async waitUntilHealthy(timeoutMs) {
      const deadline = performance.now() + timeoutMs
      while (!(await isHealthy())) {
        if (performance.now() > deadline)
          throw new SandlotError(
            'operation_timeout',
            `envd at ${address} does not answer within ${timeoutMs} ms`,
          )
        await delay(3)
      }
    },
    async post(path, body) {
      let answer: { statusCode: number; text: string }
      try {
        const { statusCode, body: response } = await client.request({
          method: 'POST',
          path,
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
          signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
        })
        answer = { statusCode, text: (await response.text()).slice(0, 500) }
      } catch (cause) {
        throw new SandlotError(
          'sandbox_create_failed',
          `envd at ${address} did not answer POST ${path}: ${(cause as Error).message}`,
          { cause },
        )
      }
      if (answer.statusCode !== 204)
        throw new SandlotError(
          'sandbox_create_failed',
          `envd at ${address} answered ${answer.statusCode} to POST ${path}: ${answer.text}`,
        )
    },
    async runCommand({ command, user, cwd, envs }, timeoutMs) {
      const message = JSON.stringify({
        process: { cmd: '/bin/bash', args: ['-l', '-c', command], cwd, envs },
        stdin: false,
      })
      const envelope = Buffer.alloc(5)
      envelope.writeUInt32BE(Buffer.byteLength(message), 1)
      const response = await client.request({
        method: 'POST',
        path: '/process.Process/Start',
        headers: {
          'content-type': 'application/connect+json',
          'connect-protocol-version': '1',
          'connect-timeout-ms': String(timeoutMs),
          authorization: `Basic ${Buffer.from(`${user}:`).toString('base64')}`,
        },
        body: Buffer.concat([envelope, Buffer.from(message)]),
        signal: AbortSignal.timeout(timeoutMs + REQUEST_TIMEOUT_MS),
      })
      await response.body.dump({ limit: 16 * 1024 * 1024 })
    },
    close() {
      client.destroy().catch(() => {})
    },
  }
}
