import { readdir, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { run } from '../host/run.ts'

const TIMEOUT_MS = 10 * 60_000

/** By path below the folder. */
export type Checksums = Record<string, { crc: string; sizeBytes: number }>

/**
 * CRC and size of every file below a folder: enough to find a flipped bit or a cut off end, and as fast as reading
 * (coreutils' `cksum` uses carry-less multiplication), in a process of its own.
 * @param isBackground nobody waits for it
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

/** @returns what is wrong with the folder, in words; undefined when every file is as it was */
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
