import type { Readable } from 'node:stream'
import { ENVD_PORT, SandlotError } from '@sandlot/protocol'
import { Client } from 'undici'
import type { LoginCommand } from './guest-client.ts'

const CONNECT_TIMEOUT_MS = 5_000
const HEADER_TIMEOUT_MS = 60_000
const UPLOAD_TIMEOUT_MS = 30 * 60_000
const MAX_MESSAGE_BYTES = 8 * 1024 * 1024
const ENVELOPE_BYTES = 5
const END_OF_STREAM = 0x02

export interface GuestCommand extends LoginCommand {
  onOutput?: (text: string, from: 'stdout' | 'stderr') => void
  /** Ends the waiting; the process itself goes with its machine. */
  signal: AbortSignal
}

/** envd refused to start a process: a code and words of Connect, e.g. `unauthenticated: invalid username: 'x'`. */
export class GuestRefusal extends Error {
  constructor(code: string, message: string) {
    super(`${code}: ${message}`)
    this.name = 'GuestRefusal'
  }
}

/**
 * Runs a command in a machine and passes its output on as it comes. It may be silent for as long as it likes.
 * @returns its exit code; 128 + n when signal n ended it
 * @throws GuestRefusal, SandlotError sandbox_unreachable when the machine is gone, and the signal's reason
 */
export async function runInGuest(address: string, options: GuestCommand, port = ENVD_PORT): Promise<number> {
  const { command, user, cwd, envs = {}, onOutput = () => {}, signal } = options
  const client = openClient(address, port)
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() }
  try {
    const { body } = await client.request({
      method: 'POST',
      path: '/process.Process/Start',
      headers: {
        'content-type': 'application/connect+json',
        'connect-protocol-version': '1',
        authorization: `Basic ${Buffer.from(`${user}:`).toString('base64')}`,
      },
      body: envelope({ process: { cmd: '/bin/bash', args: ['-l', '-c', command], envs, cwd }, stdin: false }),
      signal,
    })
    for await (const message of messages(body)) {
      if (message.error) throw new GuestRefusal(message.error.code, message.error.message ?? '')
      const { data, end } = message.event ?? {}
      for (const from of ['stdout', 'stderr'] as const)
        if (data?.[from])
          onOutput(decoders[from].decode(Buffer.from(data[from], 'base64'), { stream: true }), from)
      if (end) return exitCodeOf(end)
    }
    throw new SandlotError('sandbox_unreachable', 'the machine ended while a command ran in it')
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof GuestRefusal || error instanceof SandlotError) throw error
    throw new SandlotError(
      'sandbox_unreachable',
      `the machine does not answer: ${(error as Error).message}`,
      {
        cause: error,
      },
    )
  } finally {
    client.destroy().catch(() => {})
  }
}

/** Writes a file into a machine as root. @throws SandlotError sandbox_unreachable, and the signal's reason */
export async function uploadToGuest(
  address: string,
  path: string,
  content: Readable,
  signal: AbortSignal,
  port = ENVD_PORT,
): Promise<void> {
  const client = openClient(address, port)
  try {
    const { statusCode, body } = await client.request({
      method: 'POST',
      path: `/files?${new URLSearchParams({ path, username: 'root' })}`,
      headers: { 'content-type': 'application/octet-stream' },
      body: content,
      signal: AbortSignal.any([signal, AbortSignal.timeout(UPLOAD_TIMEOUT_MS)]),
    })
    const answer = (await body.text()).slice(0, 500)
    if (statusCode !== 200)
      throw new SandlotError('sandbox_unreachable', `envd answered ${statusCode} to an upload: ${answer}`)
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof SandlotError) throw error
    throw new SandlotError('sandbox_unreachable', `the upload broke off: ${(error as Error).message}`, {
      cause: error,
    })
  } finally {
    client.destroy().catch(() => {})
  }
}

function openClient(address: string, port: number): Client {
  const client = new Client(`http://${address}:${port}`, {
    connect: { timeout: CONNECT_TIMEOUT_MS },
    headersTimeout: HEADER_TIMEOUT_MS,
    // a build that prints nothing is alive
    bodyTimeout: 0,
  })
  client.on('disconnect', () => {})
  return client
}

interface StartMessage {
  event?: {
    data?: { stdout?: string; stderr?: string }
    end?: ProcessEnd
  }
  error?: { code: string; message?: string }
}

interface ProcessEnd {
  exitCode?: number
  /** For example `signal: killed`. */
  status?: string
  exited?: boolean
}

const SIGNALS: Record<string, number> = { hangup: 1, interrupt: 2, aborted: 6, killed: 9, terminated: 15 }

function exitCodeOf({ exitCode = 0, exited = false, status = '' }: ProcessEnd): number {
  const name = /^signal: (.+)/.exec(status)?.[1]
  if (exited || name === undefined) return exitCode
  return 128 + (SIGNALS[name] ?? 0)
}

function envelope(message: unknown): Buffer {
  const json = Buffer.from(JSON.stringify(message))
  const head = Buffer.alloc(ENVELOPE_BYTES)
  head.writeUInt32BE(json.length, 1)
  return Buffer.concat([head, json])
}

async function* messages(body: AsyncIterable<Buffer>): AsyncGenerator<StartMessage> {
  let buffered: Buffer = Buffer.alloc(0)
  for await (const chunk of body) {
    buffered = buffered.length === 0 ? chunk : Buffer.concat([buffered, chunk])
    while (buffered.length >= ENVELOPE_BYTES) {
      const length = buffered.readUInt32BE(1)
      if (length > MAX_MESSAGE_BYTES)
        throw new SandlotError('sandbox_unreachable', `envd sent a message of ${length} bytes`)
      if (buffered.length < ENVELOPE_BYTES + length) break
      const message = JSON.parse(
        buffered.toString('utf8', ENVELOPE_BYTES, ENVELOPE_BYTES + length),
      ) as StartMessage
      const isEnd = (buffered[0]! & END_OF_STREAM) !== 0
      buffered = buffered.subarray(ENVELOPE_BYTES + length)
      if (isEnd && !message.error) return
      yield message
    }
  }
}
