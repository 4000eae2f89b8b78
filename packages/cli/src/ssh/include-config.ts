import { lstatSync, mkdirSync, readFileSync, realpathSync, renameSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { Failure } from '../failure.ts'
import type { SshFiles } from './files.ts'

/**
 * Writes the block to a file of its own and includes that file at the top of the user's configuration, whose first lines
 * count when several set an option. Repeated calls change nothing more.
 * @returns path of the block's file
 * @throws Failure when the configuration is a link to a file that is missing
 */
export function includeConfig(files: SshFiles, block: string, userFolder = join(homedir(), '.ssh')): string {
  const own = join(files.folder, 'config')
  replace(own, block)
  mkdirSync(userFolder, { recursive: true, mode: 0o700 })
  const path = join(userFolder, 'config')
  const config = lstatSync(path, { throwIfNoEntry: false }) ? targetOf(path) : path
  const line = `Include "${own}"`
  const before = read(config)
  if (!before.split('\n').includes(line)) replace(config, `${line}\n\n${before}`)
  return own
}

/** A link stays one, as managers of such files make them. */
function targetOf(path: string): string {
  try {
    return realpathSync(path)
  } catch (cause) {
    throw new Failure(`${path} is a link to a file that cannot be found. Make that file, then try again.`, {
      cause,
    })
  }
}

function replace(path: string, content: string): void {
  const scratch = `${path}.${process.pid}`
  writeFileSync(scratch, content, { mode: 0o600 })
  renameSync(scratch, path)
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}
