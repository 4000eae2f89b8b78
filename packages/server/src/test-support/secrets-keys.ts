import { randomBytes } from 'node:crypto'
import type { SecretsKeySource } from '../secrets/key-source.ts'

/** Keys for secrets in memory; a test replaces them between two starts of a server. */
export class KeysInMemory implements SecretsKeySource {
  keys: Uint8Array[]
  readonly place = 'the memory of this test'

  constructor(...keys: Uint8Array[]) {
    this.keys = keys
  }

  read(): Uint8Array[] {
    return this.keys
  }

  make(): Uint8Array[] {
    if (this.keys.length === 0) this.keys = [randomBytes(32)]
    return this.keys
  }
}
