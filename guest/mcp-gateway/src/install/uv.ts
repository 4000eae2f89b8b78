import { existsSync, renameSync, rmSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { runCommand } from '../run-command.ts'

const TIMEOUT_MS = 2 * 60_000
/** uv with its hashes; part of the program. */
const LOCK = join(import.meta.dirname, 'uv.lock')

let installing: Promise<string> | undefined

/**
 * Returns the command `uv`. Templates of agents have none, because it takes 60 MB that few of their sandboxes need: there pip installs it
 * with the first server from PyPI, by hash.
 * @throws {Refusal} with the last words of pip
 */
export function uvCommand(installed: string, environment: Record<string, string>): Promise<string> {
  const onPath = (environment.PATH ?? '').split(delimiter).map((folder) => join(folder, 'uv'))
  const found = onPath.find(existsSync)
  if (found) return Promise.resolve(found)
  installing ??= installUv(join(installed, '.uv'), environment).catch((error) => {
    installing = undefined
    throw error
  })
  return installing
}

async function installUv(folder: string, environment: Record<string, string>): Promise<string> {
  const command = join(folder, 'bin/uv')
  if (existsSync(command)) return command
  const unfinished = `${folder}.${process.pid}`
  const quiet = ['--quiet', '--no-cache-dir', '--disable-pip-version-check', '--root-user-action=ignore']
  const words = ['-m', 'pip', 'install', ...quiet, '--target', unfinished, '--require-hashes', '-r', LOCK]
  await runCommand('python3', words, { folder: '/', environment, timeoutMs: TIMEOUT_MS })
  rmSync(folder, { recursive: true, force: true })
  renameSync(unfinished, folder)
  return command
}
