import { hkdfSync } from 'node:crypto'
import { SandlotError } from '@sandlot/protocol'

export const KEY_BYTES = 32

/** Where the keys come from that secrets are encrypted with: a setting or a file, which the server's owner provides. */
export interface SecretsKeySource {
  /**
   * @returns keys of 32 bytes: new values are sealed with the first, older ones may need the others; none when no key was
   * made yet
   * @throws SandlotError that says in one sentence what is wrong with the key and how to mend it
   */
  read(): Uint8Array[]
  /** Makes a key unless there is one, and keeps it before it returns. @throws SandlotError as `read` */
  make(): Uint8Array[]
  /** Says where the key is expected, for messages: `<home>/secrets.key`, or the name of a setting. */
  readonly place: string
}

/** For a control plane without keys. */
export const NO_KEYS: SecretsKeySource = {
  place: 'the option secretsKeys',
  read: () => [],
  make() {
    throw new SandlotError('secrets_unavailable', 'this server has no key to encrypt secrets with')
  },
}

/** Id of a key, which is stored beside each value that the key seals. It tells nothing about the key. */
export const keyIdOf = (key: Uint8Array): string =>
  Buffer.from(hkdfSync('sha256', key, '', 'sandlot secrets key id', 8)).toString('hex')
