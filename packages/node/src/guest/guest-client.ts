import { setTimeout as delay } from 'node:timers/promises'
import { ENVD_PORT, SandlotError } from '@sandlot/protocol'
import { EnvdClient } from './envd-client.ts'
import type { LoginCommand } from './login-command.ts'

const REQUEST_TIMEOUT_MS = 10_000
const HEALTH_TIMEOUT_MS = 1_000
const KEEP_ALIVE_MS = 600_000
const MAX_OUTPUT_BYTES = 1024 * 1024

/** Talks to the control routes of one machine's envd, over one connection that is kept. */
export interface GuestClient {
  isHealthy(): Promise<boolean>
  /** Resolves when envd answers. @throws SandlotError operation_timeout */
  waitUntilHealthy(timeoutMs: number): Promise<void>
  /** @throws SandlotError sandbox_create_failed */
  post(path: string, body: unknown): Promise<void>
  /** Waits for its end, which comes with the time limit at the latest; what it prints is dropped. */
  runCommand(command: LoginCommand, timeoutMs: number): Promise<void>
  close(): void
}

export function createGuestClient(address: string, port = ENVD_PORT): GuestClient {
  const envd = new EnvdClient(address, port, {
    keepAliveMs: KEEP_ALIVE_MS,
    connectTimeoutMs: HEALTH_TIMEOUT_MS,
    headTimeoutMs: REQUEST_TIMEOUT_MS,
  })

  async function isHealthy(): Promise<boolean> {
    try {
      const { status } = await envd.ask({ method: 'GET', path: '/health' }, { timeoutMs: HEALTH_TIMEOUT_MS })
      return status === 204
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
      const request = {
        method: 'POST' as const,
        path,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }
      const { status, words } = await envd.ask(request, { timeoutMs: REQUEST_TIMEOUT_MS }).catch((cause) => {
        throw new SandlotError(
          'sandbox_create_failed',
          `envd at ${address} did not answer POST ${path}: ${(cause as Error).message}`,
          { cause },
        )
      })
      if (status !== 204)
        throw new SandlotError(
          'sandbox_create_failed',
          `envd at ${address} answered ${status} to POST ${path}: ${words}`,
        )
    },
    runCommand: (command, timeoutMs) =>
      envd.startProcess(command, { timeoutMs, maxBytes: MAX_OUTPUT_BYTES }, () => {}),
    close: () => envd.close(),
  }
}
