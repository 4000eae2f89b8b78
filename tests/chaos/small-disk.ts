import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A small file system that affects no other test when it is full. */
export interface SmallDisk {
  path: string
  /** File that tests grow to fill the disk. */
  ballast: string
  unmount(): void
}

export function mountSmallDisk(name: string, sizeMiB: number): SmallDisk {
  const path = join(tmpdir(), `sandlot-test-${name}`)
  mkdirSync(path, { recursive: true })
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeMiB}m`, `sandlot-${name}`, path])
  return {
    path,
    ballast: join(path, 'ballast'),
    unmount() {
      execFileSync('umount', ['-l', path])
      rmSync(path, { recursive: true, force: true })
    },
  }
}
