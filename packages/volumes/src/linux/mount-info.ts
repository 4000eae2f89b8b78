import { readFile } from 'node:fs/promises'

export interface MountInfo {
  mountPoint: string
  /** Type of the file system, e.g. `ext4`. */
  type: string
  /** What is mounted, e.g. `/dev/loop3`. */
  source: string
}

/** Reads `/proc/self/mountinfo` (proc(5)), in the order in which things were mounted. */
export async function mounts(): Promise<MountInfo[]> {
  return parseMountInfo(await readFile('/proc/self/mountinfo', 'utf8'))
}

export function parseMountInfo(text: string): MountInfo[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const fields = line.split(' ')
      const separator = fields.indexOf('-')
      return {
        mountPoint: unescaped(fields[4] ?? ''),
        type: fields[separator + 1] ?? '',
        source: unescaped(fields[separator + 2] ?? ''),
      }
    })
}

/** Blanks, tabs, newlines and backslashes are octal escapes. */
const unescaped = (text: string): string =>
  text.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
