import { hash, randomUUID, timingSafeEqual } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/** The secret of this gateway: in its file for the SDKs and for `token rotate`, and in memory to compare with. */
export class AccessToken {
  readonly #file: string
  #digest = Buffer.alloc(0)

  constructor(file: string) {
    this.#file = file
    this.reload()
  }

  /** Reads the file again. */
  reload(): void {
    this.#digest = digestOf(readFileSync(this.#file, 'utf8').trim())
  }

  /** Compares in a time that does not depend on the token: digests have one length, and are compared as a whole. */
  isBearer(authorization: string | undefined): boolean {
    const given = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1]
    return given !== undefined && timingSafeEqual(digestOf(given), this.#digest)
  }
}

const digestOf = (token: string) => hash('sha256', token, 'buffer')

/**
 * Stores a token, which only root may read. The file is replaced as a whole, so that no reader sees half of one.
 * @param token default: the stored one, else a new one
 */
export function storeToken(file: string, token?: string): string {
  const chosen = token ?? (existsSync(file) ? readFileSync(file, 'utf8').trim() : randomUUID())
  mkdirSync(dirname(file), { recursive: true, mode: 0o755 })
  const unfinished = `${file}.${process.pid}`
  writeFileSync(unfinished, chosen, { mode: 0o600 })
  chmodSync(unfinished, 0o600)
  renameSync(unfinished, file)
  return chosen
}
