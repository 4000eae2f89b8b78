import { hash, randomBytes, randomInt } from 'node:crypto'
import { mkdir, open, readdir, readFile, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

const PAGE = 4096

/** Returns content similar to memory images: noise, text, zeros and repetitions, in runs of odd lengths. */
export function imageLike(sizeBytes: number): Buffer {
  const pieces: Buffer[] = []
  let total = 0
  while (total < sizeBytes) {
    const length = Math.min(
      sizeBytes - total,
      randomInt(1, 3) === 1 ? randomInt(1, 9000) : PAGE * randomInt(1, 60),
    )
    const earlier = pieces[randomInt(0, Math.max(1, pieces.length))]
    const piece = [
      () => randomBytes(length),
      () => Buffer.alloc(length, `some text ${total} `),
      () => Buffer.alloc(length),
      () => earlier ?? Buffer.alloc(length, 1),
    ][randomInt(0, 4)]!()
    pieces.push(piece)
    total += piece.length
  }
  return Buffer.concat(pieces).subarray(0, sizeBytes)
}

/** Writes a folder like those of runsc. */
export async function writeRawFolder(dir: string, files: Record<string, Buffer>): Promise<string> {
  await mkdir(dir, { recursive: true })
  for (const [name, content] of Object.entries(files)) await writeFile(join(dir, name), content)
  return dir
}

export async function folderHashes(dir: string): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {}
  for (const name of (await readdir(dir)).sort())
    hashes[name] = hash('sha256', await readFile(join(dir, name)))
  return hashes
}

export async function filesBelow(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}

export async function flipBit(path: string, bit: number): Promise<void> {
  const file = await open(path, 'r+')
  try {
    const byte = Buffer.alloc(1)
    await file.read(byte, 0, 1, bit >> 3)
    byte[0]! ^= 1 << (bit & 7)
    await file.write(byte, 0, 1, bit >> 3)
  } finally {
    await file.close()
  }
}

/** Sets the times of files into the past. */
export async function age(paths: string[], ageMs = 3600_000): Promise<void> {
  const time = new Date(Date.now() - ageMs)
  for (const path of paths) await utimes(path, time, time)
}

export const nameOf = (path: string): string => path.slice(dirname(path).length + 1)
