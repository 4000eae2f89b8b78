import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { SandlotError } from '@sandlot/protocol'
import {
  kindOf,
  needsOtherKey,
  openStore,
  type Reencrypted,
  reencryptSecrets,
  type Store,
  takeLease,
} from '@sandlot/server'
import { SecretsKeys } from './secrets-keys.ts'
import { becomeServer, findServer, serverLockPath } from './server-lock.ts'
import { type Settings, variableOf } from './settings.ts'
import { storeUrl } from './store-url.ts'

export interface Rotation extends Reencrypted {
  /** An earlier rotation was interrupted, and this one has completed it. */
  wasInterrupted: boolean
  /** File with the new key; undefined: it is in the setting. */
  path: string | undefined
}

type KeySettings = Pick<Settings, 'home' | 'store' | 'secretsKey'>

/**
 * Encrypts all secrets of a home with another key. A crash at any moment leaves a server that can read all of them: the
 * file has both keys until everything is encrypted with the new one.
 * @param afterStep called after each step that changes something, for tests
 * @throws SandlotError that says why nothing was changed
 */
export async function rotateSecretsKey(
  settings: KeySettings,
  afterStep: () => void = () => {},
): Promise<Rotation> {
  const { home } = settings
  if (!existsSync(serverLockPath(home)))
    throw new SandlotError('not_found', `no server was ever started on ${home}: name its folder with --home`)
  const server = findServer(home)
  if (server)
    throw new SandlotError(
      'conflict',
      `the server of ${home} runs (pid ${server.pid}) with the present key: stop it first (\`kill ${server.pid}\`); its sandboxes go on`,
    )
  const lock = becomeServer(home, { listen: '', domain: '' })
  try {
    return await withStore(settings, (store) => rotate(store, new SecretsKeys(settings), afterStep))
  } finally {
    lock.release()
  }
}

async function rotate(store: Store, source: SecretsKeys, afterStep: () => void): Promise<Rotation> {
  const keys = source.read()
  const { path, given } = source
  if (await needsOtherKey(store, keys))
    throw new SandlotError(
      'conflict',
      `the secrets in the database are encrypted with another key than that in ${source.place}: restore the former key first`,
    )
  if (keys.length === 0)
    throw new SandlotError('not_found', `there is no key yet: the first secret makes it in ${path}`)
  if (given.length > 0) return rotateGiven(store, keys)
  const wasInterrupted = keys.length > 1
  const both = wasInterrupted ? keys : [randomBytes(32), ...keys]
  if (!wasInterrupted) source.replaceFile(both)
  afterStep()
  const counts = await reencryptSecrets(store, both)
  afterStep()
  source.replaceFile([both[0]!])
  afterStep()
  return { ...counts, wasInterrupted, path }
}

/** The administrator keeps the keys in a setting, and has put the new one first. */
async function rotateGiven(store: Store, keys: Uint8Array[]): Promise<Rotation> {
  const name = variableOf('secretsKey')
  if (keys.length === 1)
    throw new SandlotError(
      'invalid_request',
      `the key is in ${name}: set that to the new key, a comma and the present key (the new one from \`openssl rand -hex 32\`), and run this command again. Afterwards remove the comma and the former key`,
    )
  return { ...(await reencryptSecrets(store, keys)), wasInterrupted: false, path: undefined }
}

/** Opens the database while no server uses it; one that starts meanwhile waits. */
async function withStore<T>(settings: KeySettings, work: (store: Store) => Promise<T>): Promise<T> {
  const store = await openStore(storeUrl(settings), { maxConnections: 2 })
  try {
    if (kindOf(store) === 'sqlite') return await work(store)
    const inUse = new AbortController()
    const lease = await takeLease(store, {
      about: `sandlot secrets rotate-key (pid ${process.pid})`,
      signal: inUse.signal,
      onWaiting: (holder) =>
        inUse.abort(
          new SandlotError(
            'conflict',
            `${holder} is the active server of the PostgreSQL database, and has the present key: stop it first`,
          ),
        ),
      // statements fail from then on, so that the transaction is not completed
      onLost: () => {},
    })
    try {
      return await work(store)
    } finally {
      await lease.release()
    }
  } finally {
    await store.destroy()
  }
}
