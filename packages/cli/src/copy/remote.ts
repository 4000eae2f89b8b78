import { randomUUID } from 'node:crypto'
import type { EntryInfo, Sandbox } from 'e2b'
import { quote } from '../exec/command-line.ts'
import { Failure } from '../failure.ts'
import type { Existing } from './destination.ts'

/** Transfers take as long as they take; this only ends what nobody waits for any more. */
export const TRANSFER_TIMEOUT_MS = 6 * 60 * 60_000

/** One side of a copy: a sandbox, as one of its users. */
export interface Remote {
  sandbox: Sandbox
  user?: string
}

export const asUser = ({ user }: Remote): { user?: string } => (user ? { user } : {})

/** @returns undefined when there is nothing */
export async function statRemote(remote: Remote, path: string): Promise<EntryInfo | undefined> {
  try {
    return await remote.sandbox.files.getInfo(path, asUser(remote))
  } catch (error) {
    if (error instanceof Error && /NotFoundError$/.test(error.name)) return undefined
    throw error
  }
}

export const existingOf = (entry: EntryInfo | undefined): Existing =>
  entry && (entry.type === 'dir' ? 'directory' : 'file')

/** Runs `command` inside. @throws Failure with what it wrote on standard error */
export async function runInside(remote: Remote, command: string): Promise<void> {
  const opts = { ...asUser(remote), timeoutMs: TRANSFER_TIMEOUT_MS }
  try {
    await remote.sandbox.commands.run(command, opts)
  } catch (error) {
    const { stderr } = error as { stderr?: string }
    if (typeof stderr !== 'string') throw error
    throw new Failure(`Inside the sandbox: ${stderr.trim() || (error as Error).message}`, { cause: error })
  }
}

/** An archive inside that is removed again, also after a failure. */
export async function withRemoteArchive<T>(remote: Remote, work: (path: string) => Promise<T>): Promise<T> {
  const path = `/tmp/.e2b-cp-${randomUUID()}.tar`
  try {
    return await work(path)
  } finally {
    await runInside(remote, `rm -f ${quote(path)}`).catch(() => {})
  }
}
