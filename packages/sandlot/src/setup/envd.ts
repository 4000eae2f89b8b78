import { existsSync } from 'node:fs'
import { chmod, readdir } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { run } from '@sandlot/node/run'
import { SandlotError } from '@sandlot/protocol'
import type { Step } from '../progress.ts'
import { cachedFile } from './cached.ts'
import { contentHash } from './content-hash.ts'
import { findGo, goEnvironment } from './go.ts'

const BUILD_TIMEOUT_MS = 10 * 60_000

export interface EnvdBinary {
  path: string
  /** First twelve hex characters of the hash over its sources and the Go version. */
  hash: string
}

/** Where the envd of these sources is, or will be. @throws SandlotError invalid_request without sources or Go */
export async function findEnvd(sources: string, cache: string): Promise<EnvdBinary> {
  if (!existsSync(join(sources, 'go.mod'))) {
    throw new SandlotError(
      'invalid_request',
      `${sources} holds no go.mod: this clone is incomplete. Run \`git status\` there.`,
    )
  }
  const hash = await hashSources(sources, (await findGo()).version)
  return { path: join(cache, 'envd', hash, 'envd'), hash }
}

/**
 * The static envd of these sources, built once per content.
 * @throws SandlotError invalid_request with the compiler's words when it does not build
 */
export async function ensureEnvd(
  sources: string,
  cache: string,
  step: Step,
): Promise<EnvdBinary & { made: boolean }> {
  const { path, hash } = await findEnvd(sources, cache)
  const outcome = await cachedFile(path, step, async (scratch) => {
    step.update('building with Go')
    const file = join(scratch, 'envd')
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
        `envd does not build in ${sources}: ${(cause as Error).message}`,
        { cause },
      )
    }
    return file
  })
  // Whatever the umask: the kernels of sandboxes read it, and they are no users of the server's.
  for (const each of [dirname(path), path]) await chmod(each, 0o755)
  return { path, hash, made: outcome === 'made' }
}

/** What does not end up in the binary does not count: tests, texts, and a binary that somebody built there. */
const isSource = (name: string): boolean =>
  name !== 'envd' && !name.endsWith('_test.go') && !name.endsWith('.md')

async function hashSources(sources: string, goVersion: string): Promise<string> {
  const entries = await readdir(sources, { recursive: true, withFileTypes: true })
  const files = entries
    .filter((entry) => entry.isFile() && isSource(entry.name))
    .map((entry) => relative(sources, join(entry.parentPath, entry.name)))
  return contentHash(sources, files, `${goVersion}\n${process.arch}\n`)
}
