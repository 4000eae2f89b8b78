import { addressKey } from '@sandlot/protocol'
import type { DirectoryEntry } from '@sandlot/protocol/directory'
import { findSigner, type SignedFileUrl } from './signed-url.ts'

/** Trying a token takes about 2 µs: all callers together get 4 % of a core, a single caller a quarter of that. */
const TRIES_PER_SECOND = 20_000
const TRIES_PER_SECOND_AND_CALLER = 5_000
/** Seconds for which unused allowance is kept. */
const BURST_SECONDS = 4
const MAX_CALLERS = 10_000
const MAX_REMEMBERED = 1_000

export interface SignerDirectory {
  find(sandboxId: string): DirectoryEntry | undefined
  reachable(): Iterable<DirectoryEntry>
}

/**
 * Finds the sandbox of a signed link without a sandbox id, by trying the token of every sandbox. Callers need no key, so
 * the number of tokens that they can make the server try is bounded. Links that were valid before are looked up first.
 */
export class SignerSearch {
  readonly #directory: SignerDirectory
  readonly #now: () => number
  readonly #remembered = new Map<string, string>()
  readonly #everybody: Allowance
  readonly #callers = new Map<string, Allowance>()

  constructor(directory: SignerDirectory, now: () => number = () => performance.now()) {
    this.#directory = directory
    this.#now = now
    this.#everybody = new Allowance(TRIES_PER_SECOND, now())
  }

  /** @returns 'exhausted' when this caller, or all callers together, have used up their allowance of failed tries */
  find(url: SignedFileUrl, address: string | undefined): DirectoryEntry | undefined | 'exhausted' {
    const known = this.#directory.find(this.#remembered.get(url.signature) ?? '')
    const again = known && findSigner(url, [known])
    if (again) return again
    const nowMs = this.#now()
    const caller = this.#allowanceOf(addressKey(address ?? ''), nowMs)
    this.#everybody.refill(nowMs)
    let tries = 0
    let isExhausted = false
    const signer = findSigner(url, this.#directory.reachable(), () => {
      isExhausted = !(caller.has(tries + 1) && this.#everybody.has(tries + 1))
      if (!isExhausted) tries++
      return !isExhausted
    })
    if (!signer) {
      caller.spend(tries)
      this.#everybody.spend(tries)
      return isExhausted ? 'exhausted' : undefined
    }
    this.#remember(url.signature, signer.sandboxId)
    return signer
  }

  #allowanceOf(key: string, nowMs: number): Allowance {
    const caller = this.#callers.get(key) ?? new Allowance(TRIES_PER_SECOND_AND_CALLER, nowMs)
    caller.refill(nowMs)
    this.#callers.delete(key)
    this.#callers.set(key, caller)
    if (this.#callers.size > MAX_CALLERS) this.#callers.delete(this.#callers.keys().next().value!)
    return caller
  }

  #remember(signature: string, sandboxId: string): void {
    this.#remembered.set(signature, sandboxId)
    if (this.#remembered.size > MAX_REMEMBERED) this.#remembered.delete(this.#remembered.keys().next().value!)
  }
}

class Allowance {
  readonly #perSecond: number
  #left: number
  #atMs: number

  constructor(perSecond: number, nowMs: number) {
    this.#perSecond = perSecond
    this.#left = perSecond * BURST_SECONDS
    this.#atMs = nowMs
  }

  refill(nowMs: number): void {
    const earned = ((nowMs - this.#atMs) / 1000) * this.#perSecond
    this.#left = Math.min(this.#perSecond * BURST_SECONDS, this.#left + earned)
    this.#atMs = nowMs
  }

  has(tries: number): boolean {
    return this.#left >= tries
  }

  spend(tries: number): void {
    this.#left -= tries
  }
}
