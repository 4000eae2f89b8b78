import { readFileSync } from 'node:fs'
import { run } from '@sandlot/node/host/run'

/** Mount points at or below a folder, deepest first (proc(5): field 5 of mountinfo, octal escapes for blanks). */
export function mountsBelow(folder: string, mountInfo: string): string[] {
  return mountInfo
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .map((path) =>
      path.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
    )
    .filter((path) => path === folder || path.startsWith(`${folder}/`))
    .reverse()
}

/** Unmounts everything below a folder, so that removing the folder cannot delete files of a mounted file system. */
export async function unmountBelow(folder: string): Promise<void> {
  for (const path of mountsBelow(folder, readFileSync('/proc/self/mountinfo', 'utf8')))
    await run('umount', ['-l', path])
}
