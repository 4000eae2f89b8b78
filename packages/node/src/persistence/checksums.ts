import { readdir, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { run } from '../host/run.ts'

const TIMEOUT_MS = 10 * 60_000

/** CRC and size by path below a folder. */
export type Checksums = Record<string, { crc: string; sizeBytes: number }>

/**
 * Computes CRC and size of every file below a folder in a separate process. This detects flipped bits and truncation as
 * fast as the files can be read, because coreutils' `cksum` uses carry-less multiplication.
 * @param isBackground whether to run at idle priority
 */
export async function checksumsOf(folder: string, isBackground: boolean): Promise<Checksums> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  if (files.length === 0) return {}
  const { stdout } = await run('cksum', ['--', ...files], { timeoutMs: TIMEOUT_MS, isBackground })
  const sums: Checksums = {}
  for (const line of stdout.split('\n')) {
    const match = /^(\d+) (\d+) (.+)$/.exec(line)
    if (match) sums[relative(folder, match[3]!)] = { crc: match[1]!, sizeBytes: Number(match[2]) }
  }
  return sums
}

/** @returns a description of the damage, undefined when every file is unchanged */
export async function findDamage(folder: string, expected: Checksums): Promise<string | undefined> {
  for (const [path, { sizeBytes }] of Object.entries(expected)) {
    const size = await stat(join(folder, path)).then(
      (found) => found.size,
      () => undefined,
    )
    if (size === undefined) return `${path} is missing`
    if (size !== sizeBytes) return `${path} has ${size} bytes, not ${sizeBytes}`
  }
  const found = await checksumsOf(folder, false)
  for (const [path, { crc }] of Object.entries(expected))
    if (found[path]?.crc !== crc)
      return `${path} has changed since it was written (CRC ${found[path]?.crc}, not ${crc})`
  return undefined
}
