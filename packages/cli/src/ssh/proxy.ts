import type { CommandHandle, Sandbox } from 'e2b'
import { isNotFound } from '../account/missing.ts'
import { Failure } from '../failure.ts'
import { InputQueue } from '../terminal/input-queue.ts'
import type { SshFiles } from './files.ts'
import { hostNames } from './options.ts'
import { HOST_KEY_LINE, serverScript } from './server-script.ts'

const REQUEST_TIMEOUT_MS = 120_000
const CLOSE_TIMEOUT_MS = 5_000
const HOST_KEY = new RegExp(`${HOST_KEY_LINE}(ssh-ed25519 [A-Za-z0-9+/=]+)\\n`)
/** Output of login scripts before the line with the host key. */
const MAX_PREFIX_BYTES = 64 * 1024

/**
 * Serves one SSH connection: standard input and output of this process are those of an SSH server in the sandbox. Ends with
 * either of them.
 * @param host as `ssh` calls the sandbox, which names the file of its host key
 * @throws Failure when the sandbox has no SSH server
 */
export async function proxy(sandbox: Sandbox, host: string, files: SshFiles): Promise<void> {
  const greeting = new Greeting((hostKey) => files.remember(host, hostNames(sandbox.sandboxId), hostKey))
  const handle = await sandbox.commands.run(serverScript(sandbox.sandboxId, files.ensureKey()), {
    background: true,
    user: 'root',
    cwd: '/',
    stdin: true,
    timeoutMs: 0,
    onBytes: (data: Uint8Array, from: 'stdout' | 'stderr') => {
      const rest = from === 'stdout' ? greeting.take(data) : data
      return rest.length > 0 ? write(process[from], rest) : undefined
    },
  })
  const inputFailed = passInput(handle)
  // `wait` rejects when the server ends with another exit code than 0, as it does when the client goes
  const ended = handle.wait().then(
    () => {},
    (error: { exitCode?: unknown }) => {
      if (typeof error.exitCode !== 'number') throw error
    },
  )
  await Promise.race([ended, inputFailed])
  if (!greeting.isOver)
    throw new Failure(
      `Sandbox ${sandbox.sandboxId} has no SSH server. Install it (apt-get install openssh-server), or build the template again.`,
    )
}

/** Sends standard input, and its end. @returns a promise that never resolves, but rejects when the sandbox is unreachable */
function passInput(handle: CommandHandle): Promise<never> {
  return new Promise((_, reject) => {
    const fail = (error: unknown): void => {
      if (!isNotFound(error) && handle.exitCode === undefined) reject(error)
    }
    const { stdin } = process
    const send = (data: Uint8Array) =>
      handle.sendStdin(data, { requestTimeoutMs: REQUEST_TIMEOUT_MS }).catch(fail)
    const queue = new InputQueue(stdin, send, (pieces) => handle.streamStdin(pieces).catch(fail))
    const close = async (): Promise<void> => {
      await queue.settled()
      await handle.closeStdin({ requestTimeoutMs: CLOSE_TIMEOUT_MS }).catch(fail)
    }
    stdin.on('data', (data: Buffer) => queue.push(data))
    stdin.once('end', close)
    // Ctrl-C in the terminal is for ssh, whose end closes the input
    process.on('SIGINT', () => {})
    for (const signal of ['SIGHUP', 'SIGTERM'] as const)
      process.once(signal, () => {
        queue.close()
        void close().finally(() => process.exit(1))
      })
  })
}

/** Finds the line with the host key; what follows it belongs to the protocol. */
class Greeting {
  isOver = false
  #before = Buffer.alloc(0)
  readonly #onHostKey: (hostKey: string) => void

  constructor(onHostKey: (hostKey: string) => void) {
    this.#onHostKey = onHostKey
  }

  take(data: Uint8Array): Uint8Array {
    if (this.isOver) return data
    this.#before = Buffer.concat([this.#before, data])
    const found = HOST_KEY.exec(this.#before.toString('latin1'))
    if (!found) {
      if (this.#before.length > MAX_PREFIX_BYTES)
        throw new Failure('The sandbox did not start an SSH server.')
      return Buffer.alloc(0)
    }
    this.isOver = true
    this.#onHostKey(found[1]!)
    return this.#before.subarray(found.index + found[0].length)
  }
}

const write = (stream: NodeJS.WriteStream, data: Uint8Array): Promise<void> | void =>
  stream.write(data) ? undefined : new Promise((resolve) => stream.once('drain', resolve))
