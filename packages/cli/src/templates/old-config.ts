import { existsSync, readFileSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { parse } from 'smol-toml'
import { Failure } from '../failure.ts'

/** `e2b.toml` of the first build system. */
export interface OldConfig {
  path: string
  name?: string
  dockerfile?: string
  startCmd?: string
  readyCmd?: string
  cpuCount?: number
  memoryMB?: number
}

/** @returns undefined when no file was named and none exists. @throws Failure when the file cannot be read */
export function readOldConfig(directory: string, named?: string): OldConfig | undefined {
  const file = named ?? 'e2b.toml'
  const path = isAbsolute(file) ? file : join(directory, file)
  if (!existsSync(path)) {
    if (named === undefined) return undefined
    throw new Failure(`There is no ${path}.`)
  }
  let values: Record<string, unknown>
  try {
    values = parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new Failure(`${path} is not valid TOML: ${(error as Error).message.split('\n')[0]}`, {
      cause: error,
    })
  }
  const text = (key: string): string | undefined =>
    typeof values[key] === 'string' ? values[key] : undefined
  const count = (key: string): number | undefined =>
    typeof values[key] === 'number' ? values[key] : undefined
  const startCmd = text('start_cmd')
  return {
    path,
    name: text('template_name') ?? text('template_id'),
    dockerfile: text('dockerfile'),
    // The first build system ran the command as root, the second runs it as the template's user.
    startCmd: startCmd && `sudo ${startCmd}`,
    readyCmd: text('ready_cmd'),
    cpuCount: count('cpu_count'),
    memoryMB: count('memory_mb'),
  }
}
