import { existsSync, mkdirSync, readFileSync, realpathSync, renameSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { SshFiles } from './files.ts'

/**
 * Writes the block to a file of its own and includes that file at the top of the user's configuration, whose first lines
 * count when several set an option. Repeated calls change nothing more.
 * @returns path of the block's file
 */
export function includeConfig(files: SshFiles, block: string, userFolder = join(homedir(), '.ssh')): string {
  const own = join(files.folder, 'config')
  replace(own, block)
  mkdirSync(userFolder, { recursive: true, mode: 0o700 })
  const path = join(userFolder, 'config')
  // a link stays one, as managers of such files make
  const config = existsSync(path) ? realpathSync(path) : path
  const line = `Include "${own}"`
  const before = read(config)
  if (!before.split('\n').includes(line)) replace(config, `${line}\n\n${before}`)
  return own
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
