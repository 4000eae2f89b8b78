import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const COMMAND_TIMEOUT_MS = 30_000
const BROWSER_TIMEOUT_MS = 15_000

export interface CliConfig {
  identity: { email: string }
  oauth: { token_endpoint: string; revoke_endpoint: string; client_id: string }
  tokens: { access_token: string; refresh_token: string }
  last_refresh: string
  projectId: string
  projectApiKey: string
}

export interface CliRun {
  /** The page that the CLI told a browser to open. */
  opened(): Promise<string>
  ended: Promise<{ code: number | null; output: string }>
}

/** The CLI, ours or the official one, of a user who has nothing but the address of the server. */
export class CliUser {
  readonly #home = mkdtempSync(join(tmpdir(), 'sandlot-cli-user-'))
  readonly #openedFile = join(this.#home, 'opened')
  readonly #configFile = join(this.#home, '.e2b', 'config.json')
  readonly #environment: NodeJS.ProcessEnv
  readonly #program: string
  readonly #children = new Set<ChildProcess>()

  /**
   * @param program what `e2b` runs
   * @param server what `<home>/env` of the server says
   */
  constructor(program: string, server: Record<string, string>) {
    this.#program = program
    const browser = join(this.#home, 'browser')
    writeFileSync(
      browser,
      `#!/bin/sh\nprintf %s "$1" > '${this.#openedFile}.part' && mv '${this.#openedFile}.part' '${this.#openedFile}'\n`,
    )
    chmodSync(browser, 0o755)
    this.#environment = {
      PATH: process.env.PATH,
      HOME: this.#home,
      BROWSER: browser,
      NO_COLOR: '1',
      E2B_DOMAIN: server.E2B_DOMAIN,
      NODE_EXTRA_CA_CERTS: server.NODE_EXTRA_CA_CERTS,
    }
  }

  start(...args: string[]): CliRun {
    rmSync(this.#openedFile, { force: true })
    const child = spawn(process.execPath, [this.#program, ...args], {
      env: this.#environment,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: COMMAND_TIMEOUT_MS,
      killSignal: 'SIGKILL',
    })
    this.#children.add(child)
    let output = ''
    const capture = (chunk: string) => void (output += chunk)
    child.stdout.setEncoding('utf8').on('data', capture)
    child.stderr.setEncoding('utf8').on('data', capture)
    return {
      opened: () => this.#opened(() => output),
      ended: once(child, 'close').then(([code]) => ({ code, output })),
    }
  }

  run = (...args: string[]) => this.start(...args).ended

  config = (): CliConfig => JSON.parse(readFileSync(this.#configFile, 'utf8'))
  configMode = (): number => statSync(this.#configFile).mode & 0o777
  writeConfig = (config: CliConfig): void => writeFileSync(this.#configFile, JSON.stringify(config))

  close(): void {
    for (const child of this.#children) child.kill('SIGKILL')
    rmSync(this.#home, { recursive: true, force: true })
  }

  /** On machines that cannot open a browser the CLI prints the address. */
  async #opened(output: () => string): Promise<string> {
    const deadline = Date.now() + BROWSER_TIMEOUT_MS
    while (Date.now() < deadline) {
      if (existsSync(this.#openedFile)) return readFileSync(this.#openedFile, 'utf8')
      const printed = /https:\/\/\S+cliVersion=\S+/.exec(output())?.[0]
      if (printed) return printed
      await sleep(50)
    }
    throw new Error(`the CLI opened no page within ${BROWSER_TIMEOUT_MS / 1000} s: ${output()}`)
  }
}
