import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A file system that cannot map owners of files, as NFS. */
export interface PlainDisk {
  path: string
  unmount(): void
}

/** Mounts an overlayfs, which is in every kernel that sandboxes run on. */
export function mountPlainDisk(name: string): PlainDisk {
  const dir = mkdtempSync(join(tmpdir(), `sandlot-test-${name}-`))
  const folder = (part: string) => join(dir, part)
  for (const part of ['lower', 'upper', 'work', 'merged']) mkdirSync(folder(part))
  const options = `lowerdir=${folder('lower')},upperdir=${folder('upper')},workdir=${folder('work')}`
  execFileSync('mount', ['-t', 'overlay', '-o', options, 'overlay', folder('merged')])
  return {
    path: folder('merged'),
    unmount() {
      execFileSync('umount', ['-l', folder('merged')])
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
