import type { Readable, Writable } from 'node:stream'
import { SandlotError } from '@sandlot/protocol'
import { type FileEntry, toFileEntry } from './file-entry.ts'

/** An entry has at most 1.7 KB: a name of 255 bytes that all need escaping. */
const MAX_LINE_LENGTH = 8 * 1024
const MAX_PATH_BYTES = 4_095
const MAX_ENTRIES = 500_000
const MAX_OUTPUT_BYTES = 128 * 2 ** 20

export interface FileReaderLimits {
  /** Maximum of listed entries in all folders. Default 500 000. */
  maxEntries?: number
  /** Maximum bytes of all answers. Default 128 MiB. */
  maxOutputBytes?: number
}

interface Request {
  what: 'list' | 'digest'
  entries: FileEntry[]
  resolve: (answer: FileEntry[] | string | undefined) => void
  reject: (error: Error) => void
}

/**
 * Reads a checkpoint's files through the reader inside a machine (`envd tree`, guest/envd/internal/tree), which is not
 * trusted: answers are bounded, their shape is checked, and each chunk is handled in a separate turn.
 */
export class FileReader {
  readonly #stdin: Writable
  readonly #stdout: Readable
  readonly #maxEntries: number
  readonly #maxOutputBytes: number
  readonly #requests: Request[] = []
  #entries = 0
  #outputBytes = 0
  #rest = ''
  #failure: Error | undefined

  constructor(stdin: Writable, stdout: Readable, limits: FileReaderLimits = {}) {
    this.#stdin = stdin
    this.#stdout = stdout
    this.#maxEntries = limits.maxEntries ?? MAX_ENTRIES
    this.#maxOutputBytes = limits.maxOutputBytes ?? MAX_OUTPUT_BYTES
    stdin.on('error', (error) => this.#fail(broken(error.message)))
    stdout.on('error', (error) => this.#fail(broken(error.message)))
    stdout.on('data', (chunk: Buffer) => this.#read(chunk))
    stdout.on('close', () => this.#fail(broken('it ended')))
  }

  /** @returns undefined when there is no such folder, or something else is mounted there */
  async list(path: string): Promise<FileEntry[] | undefined> {
    return (await this.#ask('list', path)) as FileEntry[] | undefined
  }

  /** Hashes a file's content. @returns undefined when the file does not exist or the limit of bytes to read is reached */
  async digest(path: string): Promise<string | undefined> {
    return (await this.#ask('digest', path)) as string | undefined
  }

  #ask(what: 'list' | 'digest', path: string): Promise<FileEntry[] | string | undefined> {
    if (this.#failure) return Promise.reject(this.#failure)
    if (path.length > MAX_PATH_BYTES)
      return Promise.reject(
        new SandlotError(
          'invalid_request',
          `the files cannot be compared: a path is longer than ${MAX_PATH_BYTES} bytes, below ${shown(path).slice(0, 100)}…`,
        ),
      )
    return new Promise((resolve, reject) => {
      this.#requests.push({ what, entries: [], resolve, reject })
      this.#stdin.write(`${JSON.stringify([what, path])}\n`)
    })
  }

  #read(chunk: Buffer): void {
    if (this.#failure) return
    this.#outputBytes += chunk.length
    if (this.#outputBytes > this.#maxOutputBytes) {
      this.#fail(tooMany(`names of more than ${this.#maxOutputBytes / 2 ** 20} MiB`))
      return
    }
    const text = this.#rest + chunk.toString('latin1')
    let start = 0
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      this.#onLine(text.slice(start, end))
      if (this.#failure) return
      start = end + 1
    }
    this.#rest = text.slice(start)
    if (this.#rest.length > MAX_LINE_LENGTH) this.#fail(broken('it wrote a line that is too long'))
  }

  #onLine(line: string): void {
    const parts = line.length <= MAX_LINE_LENGTH ? parse(line) : undefined
    const entry = parts && toFileEntry(parts)
    if (entry) this.#onEntry(entry)
    else this.#onEnd(parts ?? [])
  }

  #onEntry(entry: FileEntry): void {
    if (++this.#entries > this.#maxEntries) this.#fail(tooMany(`more than ${this.#maxEntries} entries`))
    else if (this.#requests.length === 0) this.#fail(broken('it sent an answer without a request'))
    else this.#requests[0]!.entries.push(entry)
  }

  /** Handles the last line of an answer. */
  #onEnd([word, value]: readonly unknown[]): void {
    const request = this.#requests[0]
    const answer = request ? answerOf(request, word, value) : 'none'
    if (word === 'failed') this.#fail(broken(String(value).slice(0, 200)))
    else if (answer === 'none') this.#fail(broken('it sent an invalid answer'))
    else this.#requests.shift()!.resolve(answer)
  }

  #fail(error: Error): void {
    if (this.#failure) return
    this.#failure = error
    this.#stdout.destroy()
    for (const { reject } of this.#requests.splice(0)) reject(error)
  }
}

/** @returns `none` when the line does not answer the request */
function answerOf(
  { what, entries }: Request,
  word: unknown,
  value: unknown,
): FileEntry[] | string | undefined | 'none' {
  if (word === 'missing' || (what === 'digest' && word === 'skipped')) return undefined
  if (what === 'list') return word === 'end' && value === entries.length ? entries : 'none'
  const isDigest = word === 'digest' && typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)
  return isDigest && entries.length === 0 ? value : 'none'
}

/** Decodes a path for display; bytes that are not UTF-8 become U+FFFD. */
export const shown = (path: string): string => Buffer.from(path, 'latin1').toString('utf8')

function parse(line: string): unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}

const broken = (detail: string): SandlotError =>
  new SandlotError('internal_server_error', `the files of a checkpoint could not be read: ${detail}`)

const tooMany = (what: string): SandlotError =>
  new SandlotError(
    'invalid_request',
    `the files cannot be compared: a checkpoint has ${what} where files differ`,
  )
