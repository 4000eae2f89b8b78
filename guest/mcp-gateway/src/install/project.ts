import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ServerConfig } from '../config/server-config.ts'
import { baseEnvironment, type Identity } from '../identity.ts'
import { runCommand } from '../run-command.ts'

const CLONE_TIMEOUT_MS = 2 * 60_000
const INSTALL_TIMEOUT_MS = 10 * 60_000

type Project = Extract<ServerConfig, { kind: 'github' }>

/**
 * Clones a public project of GitHub below the home directory and runs its install command there, both as the user of
 * the servers, unless a finished clone is there already.
 * @returns the folder of the clone
 */
export async function installProject(
  project: Project,
  identity: Identity,
  options: { signal?: AbortSignal; origin?: string } = {},
): Promise<string> {
  const parent = join(identity.home, '.mcp', project.owner)
  const folder = join(parent, project.repository)
  // beside the clone, so that `git status` in the clone shows nothing of ours
  const mark = join(parent, `.${project.repository}.installed`)
  if (existsSync(mark)) return folder
  const { uid, gid } = identity
  const common = {
    environment: { ...baseEnvironment(identity), GIT_TERMINAL_PROMPT: '0' },
    identity: { uid, gid },
    signal: options.signal,
  }
  await runCommand('mkdir', ['-p', parent], { ...common, folder: '/', timeoutMs: 10_000 })
  if (!existsSync(folder)) {
    const unfinished = `${folder}.clone`
    rmSync(unfinished, { recursive: true, force: true })
    const url = `${options.origin ?? 'https://github.com'}/${project.owner}/${project.repository}`
    await runCommand('git', ['clone', '--quiet', '--depth', '1', '--', url, unfinished], {
      ...common,
      folder: parent,
      timeoutMs: CLONE_TIMEOUT_MS,
    })
    renameSync(unfinished, folder)
  }
  if (project.installCommand !== undefined) {
    await runCommand('sh', ['-c', project.installCommand], {
      ...common,
      environment: { ...common.environment, ...project.environment },
      folder,
      timeoutMs: INSTALL_TIMEOUT_MS,
    })
  }
  mkdirSync(parent, { recursive: true })
  writeFileSync(mark, '')
  return folder
}
