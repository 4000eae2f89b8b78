import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { chmod, copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { CommandError, run } from '@sandlot/node/run'
import { SandlotError } from '@sandlot/protocol'
import type { Step } from '../progress.ts'
import { cachedFile } from './cached.ts'
import { findExecutable, findGo, goEnvironment } from './go.ts'

/** Release and Go module are the same commit; change both together. */
export const RUNSC_VERSION = '20260905.0'
const MODULE_VERSION = 'v0.0.0-20260905035102-160fafc42237'
const RELEASE_FOLDER = 'https://storage.googleapis.com/gvisor/releases/release/20260905'

const CONNECT_TIMEOUT_MS = 6_000
const DOWNLOAD_TIMEOUT_MS = 5 * 60_000
const BUILD_TIMEOUT_MS = 15 * 60_000
const MAX_BINARY_BYTES = 512 * 1024 * 1024

export const runscPath = (cache: string): string => join(cache, 'runsc', RUNSC_VERSION, 'runsc')

/** What `runsc --version` calls itself, for example `release-20260905.0`. */
export async function runscVersion(path: string): Promise<string> {
  const { stdout } = await run(path, ['--version'], { timeoutMs: 10_000 })
  return /^runsc version (\S+)/m.exec(stdout)?.[1] ?? 'unknown'
}

export const isPinned = (version: string): boolean => version === `release-${RUNSC_VERSION}`

/**
 * The pinned runsc in the machine's cache: copied from PATH, else the official release, else built with Go.
 * @throws SandlotError invalid_request when none of the three works, with all their reasons
 */
export async function ensureRunsc(cache: string, step: Step): Promise<string> {
  const target = runscPath(cache)
  let how = 'ready'
  await cachedFile(target, step, async (scratch) => {
    const file = join(scratch, 'runsc')
    how = (await copyFromPath(file)) ?? (await downloadOrBuild(scratch, file, step))
    await chmod(file, 0o755)
    const version = await runscVersion(file)
    if (!isPinned(version))
      throw new SandlotError('invalid_request', `runsc says it is ${version}, not ${RUNSC_VERSION}`)
    return file
  })
  return `${RUNSC_VERSION} ${how}`
}

async function copyFromPath(file: string): Promise<string | undefined> {
  const onPath = findExecutable('runsc')
  if (!onPath) return undefined
  const version = await runscVersion(onPath).catch(() => 'unknown')
  if (!isPinned(version)) return undefined
  await copyFile(onPath, file)
  return `copied from ${onPath}`
}

async function downloadOrBuild(scratch: string, file: string, step: Step): Promise<string> {
  let reason: string
  try {
    await download(file, step)
    return 'downloaded'
  } catch (error) {
    reason = describe(error)
  }
  step.update(`no release download (${reason}); building with Go, about a minute`)
  try {
    await build(scratch, step)
    return 'built with Go'
  } catch (error) {
    throw new SandlotError(
      'invalid_request',
      `runsc ${RUNSC_VERSION} could not be had.\n  Download from ${RELEASE_FOLDER}: ${reason}\n  Build: ${describe(error)}\n` +
        '  Open one of the two ways, or put that release of runsc on PATH, and start again.',
      { cause: error },
    )
  }
}

async function download(file: string, step: Step): Promise<void> {
  const architecture = { x64: 'x86_64', arm64: 'aarch64' }[process.arch as string]
  if (!architecture) throw new Error(`no release for ${process.arch}`)
  const url = `${RELEASE_FOLDER}/${architecture}/runsc`
  step.update('asking for the official release')
  const sumResponse = await fetch(`${url}.sha512`, { signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS) })
  if (!sumResponse.ok) throw new Error(`${url}.sha512 answered ${sumResponse.status}`)
  const expected = /^[0-9a-f]{128}/.exec((await sumResponse.text()).slice(0, 1000))?.[0]
  if (!expected) throw new Error(`${url}.sha512 holds no sha512`)

  const response = await fetch(url, { signal: AbortSignal.timeout(DOWNLOAD_TIMEOUT_MS) })
  if (!response.ok || !response.body) throw new Error(`${url} answered ${response.status}`)
  let received = 0
  const count = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      received += chunk.length
      step.update(`downloading, ${(received / 1e6).toFixed(0)} MB`)
      done(received > MAX_BINARY_BYTES ? new Error('the download does not end') : null, chunk)
    },
  })
  await pipeline(Readable.fromWeb(response.body as never), count, createWriteStream(file))
  const hash = createHash('sha512')
  await pipeline(createReadStream(file), hash)
  if (hash.digest('hex') !== expected)
    throw new Error(`${url} does not have the sha512 that its .sha512 says`)
}

/** `go install` leaves the version empty (VERSION_MISSING): the linker sets what a release would say. */
async function build(scratch: string, step: Step): Promise<void> {
  const go = await findGo()
  const ldflags = `-s -w -X gvisor.dev/gvisor/runsc/version.version=release-${RUNSC_VERSION}`
  await run(go.path, ['install', `-ldflags=${ldflags}`, `gvisor.dev/gvisor/runsc@${MODULE_VERSION}`], {
    timeoutMs: BUILD_TIMEOUT_MS,
    env: goEnvironment({ GOBIN: scratch }),
    cwd: scratch,
    onLine: (line) => step.update(`building with Go: ${line.slice(0, 60)}`),
  })
}

function describe(error: unknown): string {
  if (error instanceof CommandError || error instanceof SandlotError) return error.message
  const { message, cause } = error as Error
  return cause instanceof Error ? `${message} (${cause.message})` : message
}
