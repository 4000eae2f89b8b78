import { execFile } from 'node:child_process'
import { copyFile, mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cachedFile } from '../../packages/sandlot/src/setup/cached.ts'

const CACHE = process.env.SANDLOT_TEST_TOOLS ?? '/var/cache/sandlot/test-tools'
const TIMEOUT_MS = 15 * 60_000
const step = { update: () => {} }
const run = (command: string, args: string[], cwd?: string) =>
  promisify(execFile)(command, args, { cwd, timeout: TIMEOUT_MS, maxBuffer: 2 ** 26 })

/** The root file system of Debian 12 with nothing but apt, like `debian:bookworm-slim`; made once per machine. */
export async function debianTar(): Promise<string> {
  const path = join(CACHE, 'debian-12', 'root.tar')
  await cachedFile(path, step, async (scratch) => {
    const file = join(scratch, 'root.tar')
    await run('mmdebstrap', ['--variant=minbase', '--mode=root', '--format=tar', 'bookworm', file])
    return file
  })
  return path
}

/** A program of a Debian package that is linked statically, so that it runs in any image. */
export async function staticProgram(packageName: string, path: string): Promise<string> {
  const file = join(CACHE, packageName, 'program')
  await cachedFile(file, step, async (scratch) => {
    await run('apt-get', ['download', packageName], scratch)
    const archive = (await readdir(scratch)).find((name) => name.endsWith('.deb'))!
    await mkdir(join(scratch, 'files'))
    await run('dpkg-deb', ['--extract', archive, 'files'], scratch)
    await copyFile(join(scratch, 'files', path), join(scratch, 'program'))
    return join(scratch, 'program')
  })
  return file
}
