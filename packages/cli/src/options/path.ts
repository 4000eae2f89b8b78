import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { Option } from 'commander'
import { Failure } from '../failure.ts'

export const pathOption = (): Option =>
  new Option('-p, --path <path>', 'root directory of the command instead of the current one')

/** @returns the directory's absolute path. @throws Failure when the directory does not exist */
export function directoryOf(path = '.'): string {
  const directory = resolve(path)
  if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory()) {
    throw new Failure(`There is no directory ${directory}. Name one that exists with -p.`)
  }
  return directory
}
