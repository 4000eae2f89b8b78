import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { environmentOf, fillArguments, fillHeaders, type Launch } from '../config/launch.ts'
import type { ServerConfig } from '../config/server-config.ts'
import type { Identity } from '../identity.ts'
import type { Places } from '../places.ts'
import { Refusal } from '../refusal.ts'
import { runCommand } from '../run-command.ts'
import { pypiLock } from './locks.ts'
import { installPackage } from './package.ts'
import { installProject } from './project.ts'

/** By the name of a server: a command and its arguments, or only the URL of an endpoint. */
export type MappedCommands = Record<string, string[]>

/** Reads what `mcp-gateway map` stored. */
export function mappedCommands(places: Places): MappedCommands {
  if (!existsSync(places.commandsFile)) return {}
  try {
    return JSON.parse(readFileSync(places.commandsFile, 'utf8')) as MappedCommands
  } catch (error) {
    throw new Refusal(`${places.commandsFile} is not JSON: ${(error as Error).message}`)
  }
}

/**
 * Makes a server ready to be started: installs it if it is not there yet.
 * @throws {Refusal} if nothing is known that could run it, or if it could not be installed
 */
export async function prepare(
  server: ServerConfig,
  places: Places,
  identity: Identity,
  signal?: AbortSignal,
): Promise<Launch> {
  if (server.kind === 'github') {
    const folder = await installProject(server, identity, { signal })
    return {
      kind: 'process',
      command: 'sh',
      arguments: ['-c', server.runCommand],
      environment: server.environment,
      folder,
    }
  }
  const { key, entry, options } = server
  const environment = environmentOf(entry.options, options)
  const mapped = mappedCommands(places)[key]
  if (mapped) return launchOf(mapped, environment, options, identity)
  const { run } = entry
  if (!run) throw new Refusal(unavailable(key, entry.image, entry.source))
  if (run.kind === 'remote') {
    const { transport, url, headers = {} } = run
    return { kind: 'remote', transport, url, headers: fillHeaders(headers, environment) }
  }
  const program = await installPackage(run, {
    folder: join(places.installed, key),
    lock: pypiLock(key, places.locks),
    installed: places.installed,
    signal,
  })
  const given = fillArguments(run.arguments ?? [], options, identity.home)
  const fixed = Object.entries(run.environment ?? {}).map(([name, value]) => [
    name,
    fillArguments([value], {}, identity.home)[0]!,
  ])
  await ensureDataFolder(identity)
  return {
    kind: 'process',
    command: program.command,
    arguments: [...program.arguments, ...given],
    environment: { ...(Object.fromEntries(fixed) as Record<string, string>), ...environment },
  }
}

/** Makes the folder in which servers keep data, as their user. */
const ensureDataFolder = ({ home, uid, gid }: Identity) =>
  runCommand('mkdir', ['-p', join(home, '.mcp')], {
    folder: '/',
    environment: {},
    timeoutMs: 10_000,
    identity: { uid, gid },
  })

function launchOf(
  words: string[],
  environment: Record<string, string>,
  options: Record<string, string | number | boolean | Array<string | number | boolean>>,
  identity: Identity,
): Launch {
  const [command, ...rest] = words as [string, ...string[]]
  if (/^https?:\/\//.test(command))
    return { kind: 'remote', transport: 'streamable-http', url: command, headers: {} }
  return { kind: 'process', command, arguments: fillArguments(rest, options, identity.home), environment }
}

const unavailable = (key: string, image: string | undefined, source: string | undefined) =>
  `'${key}' exists only as the container image ${image}, and neither npm nor PyPI has a package of it. ` +
  `Use its project, 'github/${source?.split(' ')[0] ?? '<owner>/<repository>'}' with runCmd and installCmd, ` +
  `or bring a program in a template and name it there with \`mcp-gateway map ${key} -- <command>\``
