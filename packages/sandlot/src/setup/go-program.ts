import { existsSync } from 'node:fs'
import { chmod, readdir } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { run } from '@sandlot/node/host/run'
import { SandlotError } from '@sandlot/protocol'
import type { Step } from '../progress.ts'
import { cachedFile } from './cached.ts'
import { contentHash } from './content-hash.ts'
import { findGo, goEnvironment } from './go.ts'

const BUILD_TIMEOUT_MS = 10 * 60_000

/** A static program of `guest/`, built on this machine; sandboxes see its folder at /opt/sandlot. */
export interface GoProgram {
  path: string
  /** First twelve hex characters of the hash over its sources and the Go version. */
  hash: string
}

/**
 * Finds the path of the program of these sources, whether or not it is built yet.
 * @param name name of the program and of its folder in the cache
 * @throws SandlotError invalid_request without sources or Go
 */
export async function findGoProgram(name: string, sources: string, cache: string): Promise<GoProgram> {
  if (!existsSync(join(sources, 'go.mod'))) {
    throw new SandlotError(
      'invalid_request',
      `${sources} has no go.mod: this clone is incomplete. Run \`git status\` there.`,
    )
  }
  const hash = await hashSources(name, sources, (await findGo()).version)
  return { path: join(cache, name, hash, name), hash }
}

/**
 * Builds the program of these sources, once for each content.
 * @throws SandlotError invalid_request with the compiler's output when the build fails
 */
export async function ensureGoProgram(
  name: string,
  sources: string,
  cache: string,
  step: Step,
): Promise<GoProgram & { made: boolean }> {
  const { path, hash } = await findGoProgram(name, sources, cache)
  const outcome = await cachedFile(path, step, async (scratch) => {
    step.update('building with Go')
    const file = join(scratch, name)
    try {
      await run((await findGo()).path, ['build', '-trimpath', '-ldflags=-s -w', '-o', file, '.'], {
        timeoutMs: BUILD_TIMEOUT_MS,
        env: goEnvironment({ GOOS: 'linux' }),
        cwd: sources,
        onLine: (line) => step.update(`building with Go: ${line.slice(0, 60)}`),
      })
    } catch (cause) {
      throw new SandlotError(
        'invalid_request',
        `${name} does not build in ${sources}: ${(cause as Error).message}`,
        { cause },
      )
    }
    return file
  })
  // Independent of the umask, because the kernels of sandboxes read the file and run as other users.
  for (const each of [dirname(path), path]) await chmod(each, 0o755)
  return { path, hash, made: outcome === 'made' }
}

/** Hashes the sources without files that are not part of the program: tests, texts, and a binary built in the folder. */
async function hashSources(name: string, sources: string, goVersion: string): Promise<string> {
  const isSource = (file: string) => file !== name && !file.endsWith('_test.go') && !file.endsWith('.md')
  const entries = await readdir(sources, { recursive: true, withFileTypes: true })
  const files = entries
    .filter((entry) => entry.isFile() && isSource(entry.name))
    .map((entry) => relative(sources, join(entry.parentPath, entry.name)))
  return contentHash(sources, files, `${goVersion}\n${process.arch}\n`)
}
