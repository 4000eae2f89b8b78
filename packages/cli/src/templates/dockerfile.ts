import { existsSync, readFileSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { Failure } from '../failure.ts'

const DEFAULTS = ['e2b.Dockerfile', 'Dockerfile']

export interface Dockerfile {
  path: string
  content: string
}

/** Finds the named file, else `e2b.Dockerfile` or `Dockerfile` in `directory`. @throws Failure when there is none */
export function findDockerfile(directory: string, named?: string): Dockerfile {
  const names = named === undefined ? DEFAULTS : [named]
  const path = names
    .map((name) => (isAbsolute(name) ? name : join(directory, name)))
    .find((each) => existsSync(each))
  if (!path) {
    throw new Failure(`No ${names.join(' or ')} found in ${directory}. Name one with --dockerfile <file>.`)
  }
  const content = readFileSync(path, 'utf8')
  if (content.trim() === '') throw new Failure(`${path} is empty. It needs at least a FROM line.`)
  return { path, content }
}
