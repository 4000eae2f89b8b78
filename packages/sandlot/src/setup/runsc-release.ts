import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { copyFile, rm } from 'node:fs/promises'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Step } from '../progress.ts'

/** The release and the Go module (`pinned/runsc/go.mod`) must be the same commit: change both together. */
export const RUNSC_VERSION = '20260905.0'
const RELEASES = 'https://storage.googleapis.com/gvisor/releases/release'

/**
 * sha512 of the official binaries, by version and by the release's name of the architecture. The `.sha512` file beside a
 * binary proves nothing, as an attacker would replace both. Add an entry only after a comparison over a second channel
 * (docs/adr/0021).
 */
const RELEASE_SHA512: Record<string, Record<string, string>> = {
  '20260905.0': {},
}

const DOWNLOAD_TIMEOUT_MS = 5 * 60_000
const MAX_BINARY_BYTES = 512 * 1024 * 1024

const architecture = (): string =>
  ({ x64: 'x86_64', arm64: 'aarch64' })[process.arch as string] ?? process.arch

/** The folder is named by date; the number after the point counts rebuilds. */
export const releaseUrl = (): string => `${RELEASES}/${RUNSC_VERSION.split('.')[0]}/${architecture()}/runsc`

/** Returns the hashes of acceptable runsc binaries. @param expected value of the setting `runscSha512`, or empty */
export const knownHashes = (expected: string): string[] =>
  [RELEASE_SHA512[RUNSC_VERSION]?.[architecture()], expected].filter(
    (hash) => hash !== undefined && hash !== '',
  ) as string[]

export async function sha512Of(path: string): Promise<string> {
  const hash = createHash('sha512')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

/**
 * Copies the runsc on PATH if its content is known, without running it first: an unknown binary may report any version.
 * @returns why the binary is not used; undefined when it was copied
 */
export async function copyKnown(from: string, file: string, hashes: string[]): Promise<string | undefined> {
  await copyFile(from, file)
  const found = await sha512Of(file)
  if (hashes.includes(found)) return undefined
  await rm(file)
  return `${from} is not used: its sha512 ${found} is neither in the source nor the setting runscSha512`
}

/** @throws Error when no hash is known (nothing is downloaded then), or when the content differs */
export async function download(url: string, file: string, hashes: string[], step: Step): Promise<void> {
  if (hashes.length === 0)
    throw new Error('its sha512 is not in the source, and the setting runscSha512 is empty')
  step.update('requesting the official release')
  const response = await fetch(url, { signal: AbortSignal.timeout(DOWNLOAD_TIMEOUT_MS) })
  if (!response.ok || !response.body) throw new Error(`${url} answered ${response.status}`)
  let received = 0
  const count = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      received += chunk.length
      step.update(`downloading, ${(received / 1e6).toFixed(0)} MB`)
      done(received > MAX_BINARY_BYTES ? new Error('the download is too large') : null, chunk)
    },
  })
  await pipeline(Readable.fromWeb(response.body as never), count, createWriteStream(file))
  const found = await sha512Of(file)
  if (hashes.includes(found)) return
  await rm(file)
  throw new Error(`${url} has the sha512 ${found}, not ${hashes.join(' or ')}`)
}
