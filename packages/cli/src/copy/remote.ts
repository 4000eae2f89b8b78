import { randomUUID } from 'node:crypto'
import type { EntryInfo, Sandbox } from 'e2b'
import { quote } from '../exec/command-line.ts'
import { Failure } from '../failure.ts'
import type { Existing } from './destination.ts'

/** Upper limit of a transfer, which may take long. Only ends transfers whose client has gone. */
export const TRANSFER_TIMEOUT_MS = 6 * 60 * 60_000

/** The sandbox side of a copy, acting as one user. */
export interface Remote {
  sandbox: Sandbox
  user?: string
}

export const asUser = ({ user }: Remote): { user?: string } => (user ? { user } : {})

/** @returns undefined when nothing exists at the path */
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

/** Runs `command` in the sandbox. @throws Failure with the command's standard error */
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

/** Runs `work` with the path of an archive in the sandbox. Removes the archive afterwards, also after a failure. */
export async function withRemoteArchive<T>(remote: Remote, work: (path: string) => Promise<T>): Promise<T> {
  const path = `/tmp/.e2b-cp-${randomUUID()}.tar`
  try {
    return await work(path)
  } finally {
    await runInside(remote, `rm -f ${quote(path)}`).catch(() => {})
  }
}
