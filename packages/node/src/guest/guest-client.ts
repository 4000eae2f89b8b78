import { setTimeout as delay } from 'node:timers/promises'
import { ENVD_PORT, SandlotError } from '@sandlot/protocol'
import { type EnvdAnswer, EnvdClient } from './envd-client.ts'
import type { LoginCommand } from './login-command.ts'

const REQUEST_TIMEOUT_MS = 10_000
const HEALTH_TIMEOUT_MS = 1_000
const HEALTH_INTERVAL_MS = 3
const KEEP_ALIVE_MS = 600_000
const MAX_OUTPUT_BYTES = 1024 * 1024

/** Calls the control routes of one machine's envd, over one connection that is kept open. */
export class GuestClient {
  readonly #address: string
  readonly #envd: EnvdClient

  constructor(address: string, port = ENVD_PORT) {
    this.#address = address
    this.#envd = new EnvdClient(address, port, {
      keepAliveMs: KEEP_ALIVE_MS,
      connectTimeoutMs: HEALTH_TIMEOUT_MS,
      headTimeoutMs: REQUEST_TIMEOUT_MS,
    })
  }

  async isHealthy(): Promise<boolean> {
    try {
      const request = { method: 'GET' as const, path: '/health' }
      return (await this.#envd.ask(request, { timeoutMs: HEALTH_TIMEOUT_MS })).status === 204
    } catch {
      return false
    }
  }

  /** Resolves when envd answers. @throws SandlotError operation_timeout */
  async waitUntilHealthy(timeoutMs: number): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs
    while (!(await this.isHealthy())) {
      if (performance.now() > deadlineMs)
        throw new SandlotError(
          'operation_timeout',
          `envd at ${this.#address} does not answer within ${timeoutMs} ms`,
        )
      await delay(HEALTH_INTERVAL_MS)
    }
  }

  /** Posts JSON. @returns whatever envd answers @throws SandlotError sandbox_create_failed when it does not answer */
  async ask(path: string, body: unknown): Promise<EnvdAnswer> {
    const request = {
      method: 'POST' as const,
      path,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }
    return this.#envd.ask(request, { timeoutMs: REQUEST_TIMEOUT_MS }).catch((cause) => {
      const message = `envd at ${this.#address} did not answer POST ${path}: ${(cause as Error).message}`
      throw new SandlotError('sandbox_create_failed', message, { cause })
    })
  }

  /** @throws SandlotError sandbox_create_failed */
  async post(path: string, body: unknown): Promise<void> {
    const { status, words } = await this.ask(path, body)
    if (status !== 204)
      throw new SandlotError(
        'sandbox_create_failed',
        `envd at ${this.#address} answered ${status} to POST ${path}: ${words}`,
      )
  }

  /** Resolves when the command has ended, at the latest after `timeoutMs`; the output is dropped. */
  runCommand(command: LoginCommand, timeoutMs: number): Promise<void> {
    return this.#envd.startProcess(command, { timeoutMs, maxBytes: MAX_OUTPUT_BYTES }, () => {})
  }

  close(): void {
    this.#envd.close()
  }
}
