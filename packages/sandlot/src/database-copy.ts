import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import {
  type CopyProgress,
  type CopySummary,
  copyStore,
  kindOf,
  leaseHolder,
  openStore,
  parseStoreUrl,
  type Store,
} from '@sandlot/server'
import { openNodeId } from './node-id.ts'
import { becomeServer, findServer } from './server-lock.ts'

export interface CopyRequest {
  from: string
  to: string
  home?: string
}

/** @throws SandlotError that says why nothing was copied */
export async function copyDatabase(
  { from, to, home }: CopyRequest,
  onProgress: (progress: CopyProgress) => void,
): Promise<CopySummary> {
  const sourcePath = sqlitePath(from)
  const targetPath = sqlitePath(to)
  if (sourcePath !== undefined && !existsSync(sourcePath))
    throw new SandlotError('not_found', `there is no database at ${sourcePath}`)
  const file = sourcePath ?? targetPath
  const homeFolder = home === undefined ? file && dirname(file) : resolve(home)
  if (homeFolder === undefined || !existsSync(homeFolder))
    throw new SandlotError(
      'invalid_request',
      'say with --home which home the sandboxes are on: none is there',
    )
  // no server starts on the home meanwhile
  const lock = lockHome(homeFolder)
  const stores: Store[] = []
  const open = async (url: string, migrates: boolean) => {
    const store = await openStore(url, { migrates, maxConnections: 2 })
    stores.push(store)
    return store
  }
  try {
    const source = await open(sqliteUrl(sourcePath) ?? from, false)
    const target = await open(sqliteUrl(targetPath) ?? to, true)
    for (const store of [source, target]) await checkUnused(store)
    const nodeId = kindOf(target) === 'postgres' ? openNodeId(homeFolder) : ''
    return await copyStore(source, target, { nodeId, onProgress })
  } finally {
    for (const store of stores) await store.destroy()
    lock.release()
  }
}

function sqlitePath(url: string): string | undefined {
  const address = parseStoreUrl(url)
  return address.kind === 'sqlite' ? resolve(address.path) : undefined
}

const sqliteUrl = (path: string | undefined): string | undefined => path && `sqlite:${path}`

function lockHome(home: string): { release(): void } {
  const server = findServer(home)
  if (server)
    throw new SandlotError(
      'conflict',
      `the server of ${home} runs (pid ${server.pid}) and would write meanwhile: stop it first; its sandboxes go on`,
    )
  return becomeServer(home, { listen: '', domain: '' })
}

async function checkUnused(store: Store): Promise<void> {
  if (kindOf(store) === 'sqlite') return
  const holder = await leaseHolder(store).catch(() => undefined)
  if (holder)
    throw new SandlotError(
      'conflict',
      `${holder} is the active server of the PostgreSQL database: stop it first`,
    )
}
