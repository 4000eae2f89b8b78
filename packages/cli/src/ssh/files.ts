import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { Failure } from '../failure.ts'

/** Files of sandboxes that were used longest ago are removed beyond this number. */
const MAX_KNOWN_HOSTS = 500

/** What `ssh` needs on this machine to enter sandboxes: a key pair, and the host key of each sandbox. */
export class SshFiles {
  readonly folder: string
  readonly privateKey: string
  readonly knownHosts: string

  /** @param folder default: `~/.e2b/ssh`; only its owner can enter it */
  constructor(folder = join(homedir(), '.e2b', 'ssh')) {
    this.folder = folder
    this.privateKey = join(folder, 'id_ed25519')
    this.knownHosts = join(folder, 'known_hosts.d')
  }

  /** Makes the key pair when it is missing. Concurrent callers get the same one. @returns the public key */
  ensureKey(): string {
    for (const folder of [this.folder, this.knownHosts]) {
      mkdirSync(folder, { recursive: true, mode: 0o700 })
      chmodSync(folder, 0o700)
    }
    if (!existsSync(this.privateKey)) this.#makeKey()
    if (!existsSync(`${this.privateKey}.pub`)) this.#derivePublicKey()
    const [type, key] = readFileSync(`${this.privateKey}.pub`, 'utf8').trim().split(/\s+/)
    if (!/^ssh-[a-z0-9-]+$/.test(type ?? '') || !/^[A-Za-z0-9+/=]+$/.test(key ?? ''))
      throw new Failure(
        `${this.privateKey}.pub holds no public key. Remove it and ${this.privateKey}; a new pair is made then.`,
      )
    return `${type} ${key}`
  }

  /** Pins the host key of a sandbox, which the sandbox itself has told over its authenticated API. */
  remember(host: string, names: readonly string[], hostKey: string): void {
    const file = join(this.knownHosts, host)
    const scratch = `${file}.${process.pid}`
    writeFileSync(scratch, `${names.join(',')} ${hostKey}\n`, { mode: 0o600 })
    renameSync(scratch, file)
    this.#prune()
  }

  #makeKey(): void {
    const scratch = join(this.folder, `new-${process.pid}`)
    try {
      execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'e2b', '-f', scratch], {
        timeout: 30_000,
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      // the private key appears last and never replaces another one; the public key beside it belongs to the winner
      linkSync(scratch, this.privateKey)
      renameSync(`${scratch}.pub`, `${this.privateKey}.pub`)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOENT')
        throw new Failure('ssh-keygen was not found. Install the OpenSSH client.', { cause: error })
      if (code !== 'EEXIST') throw error
    } finally {
      for (const file of [scratch, `${scratch}.pub`]) rmSync(file, { force: true })
    }
  }

  /** Derives the public key anew when the process that made the pair ended between its two steps. */
  #derivePublicKey(): void {
    const key = execFileSync('ssh-keygen', ['-y', '-f', this.privateKey], {
      encoding: 'utf8',
      timeout: 30_000,
    })
    const scratch = join(this.folder, `derived-${process.pid}`)
    writeFileSync(scratch, key, { mode: 0o600 })
    renameSync(scratch, `${this.privateKey}.pub`)
  }

  #prune(): void {
    const files = readdirSync(this.knownHosts)
    if (files.length <= MAX_KNOWN_HOSTS) return
    const ages = files.map((name) => {
      const path = join(this.knownHosts, name)
      return { path, usedMs: statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 }
    })
    ages.sort((a, b) => b.usedMs - a.usedMs)
    for (const { path } of ages.slice(MAX_KNOWN_HOSTS)) rmSync(path, { force: true })
  }
}
