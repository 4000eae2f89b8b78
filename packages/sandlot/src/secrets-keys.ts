import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import type { SecretsKeySource } from '@sandlot/server'
import { makeHome } from './home-folder.ts'
import { type Settings, variableOf } from './settings.ts'
import { writeAtomically } from './write-atomically.ts'

const KEY_BYTES = 32
const FILE_LINE = /^[0-9a-f]{64}$/
/** One key, and a second one while the first is replaced. */
const MAX_KEYS = 2

/**
 * Keys that secrets are encrypted with: those of the setting `secretsKey`, and those of `<home>/secrets.key`, a file with
 * one key a line, the newest first. With the setting, no file is made.
 */
export class SecretsKeys implements SecretsKeySource {
  readonly #home: string
  /** Keys of the setting. */
  readonly given: Uint8Array[]
  readonly path: string

  constructor({ home, secretsKey }: Pick<Settings, 'home' | 'secretsKey'>) {
    this.#home = home
    this.given = secretsKey === '' ? [] : secretsKey.split(',').map(decodeKey)
    this.path = join(home, 'secrets.key')
  }

  get place(): string {
    return this.given.length > 0 ? variableOf('secretsKey') : this.path
  }

  read(): Uint8Array[] {
    return [...this.given, ...this.readFile()]
  }

  make(): Uint8Array[] {
    const keys = this.read()
    if (keys.length > 0) return keys
    makeHome(this.#home)
    this.#create(randomBytes(KEY_BYTES))
    return this.read()
  }

  /** @returns keys of the file; none when there is no file @throws SandlotError secrets_unavailable */
  readFile(): Uint8Array[] {
    const lines = this.#readText()?.trimEnd().split('\n') ?? []
    if (lines.length <= MAX_KEYS && lines.every((line) => FILE_LINE.test(line)))
      return lines.map((line) => Buffer.from(line, 'hex'))
    throw refused(
      `${this.path} does not hold a key of 64 hexadecimal digits a line (one, or two during a change of the key): restore the original file`,
    )
  }

  /** Replaces the keys of the file, the newest first. They outlive a power cut once this returns. */
  replaceFile(keys: readonly Uint8Array[]): void {
    writeAtomically(this.path, textOf(keys), 0o600)
    syncFolder(this.path)
  }

  /** Refuses links and files that other users may read or have made. */
  #readText(): string | undefined {
    let file: number
    try {
      file = openSync(this.path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      if (code === 'ENOENT') return undefined
      if (code === 'ELOOP')
        throw refused(`${this.path} is a symbolic link, which is not followed: put the file itself there`)
      throw refused(`${this.path} cannot be read: ${message}`)
    }
    try {
      const status = fstatSync(file)
      if (!status.isFile()) throw refused(`${this.path} is not a file`)
      if (status.uid !== process.getuid!())
        throw refused(
          `${this.path} belongs to user ${status.uid}, who can read it: run \`chown ${process.getuid!()} ${this.path}\` and \`chmod 600 ${this.path}\``,
        )
      const mode = status.mode & 0o777
      if ((mode & 0o077) !== 0)
        throw refused(
          `${this.path} has mode ${mode.toString(8)}, so that other users can read it: run \`chmod 600 ${this.path}\``,
        )
      return readFileSync(file, 'utf8')
    } finally {
      closeSync(file)
    }
  }

  /** Makes the file with its content in one step, unless another process was faster. */
  #create(key: Uint8Array): void {
    const temporary = `${this.path}.${process.pid}.new`
    rmSync(temporary, { force: true })
    writeFileSync(temporary, textOf([key]), { mode: 0o600, flag: 'wx', flush: true })
    try {
      linkSync(temporary, this.path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    } finally {
      rmSync(temporary, { force: true })
    }
    syncFolder(this.path)
  }
}

const textOf = (keys: readonly Uint8Array[]): string =>
  keys.map((key) => `${Buffer.from(key).toString('hex')}\n`).join('')

/** @param text as the pattern of the setting `secretsKey` allows */
function decodeKey(text: string): Uint8Array {
  return Buffer.from(text, text.length === 2 * KEY_BYTES ? 'hex' : 'base64')
}

/** Makes a new name in a folder outlive a power cut. */
function syncFolder(path: string): void {
  const folder = openSync(dirname(path), 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}

const refused = (message: string): SandlotError => new SandlotError('secrets_unavailable', message)
