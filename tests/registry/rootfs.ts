import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

const PROGRAMS = [
  ...[
    'bash',
    'basename',
    'cat',
    'chmod',
    'chown',
    'cp',
    'cut',
    'dirname',
    'env',
    'getent',
    'head',
    'id',
    'ln',
    'ls',
  ],
  ...['mkdir', 'mv', 'readlink', 'rm', 'sleep', 'stat', 'tail', 'tar', 'useradd', 'whoami'],
]

/**
 * A small root file system of this machine's own programs with their libraries, in which uid 1000 is another user's,
 * as in many images of Docker Hub.
 */
export function makeRootfs(): string {
  const root = mkdtempSync(join(tmpdir(), 'sandlot-rootfs-'))
  const put = (path: string, content: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), content)
  }
  for (const folder of ['usr/bin', 'usr/sbin', 'usr/lib', 'usr/lib64', 'home/app', 'root', 'data'])
    mkdirSync(join(root, folder), { recursive: true })
  for (const folder of ['bin', 'sbin', 'lib', 'lib64']) symlinkSync(`usr/${folder}`, join(root, folder))
  const copied = new Set<string>()
  const copy = (file: string) => {
    if (copied.has(file)) return
    copied.add(file)
    const target = join(root, file.startsWith('/usr/') ? file : `/usr${file}`)
    mkdirSync(dirname(target), { recursive: true })
    cpSync(realpathSync(file), target)
  }
  for (const program of PROGRAMS) {
    const path = execFileSync('bash', ['-c', `PATH=$PATH:/usr/sbin; type -P ${program}`])
      .toString()
      .trim()
    copy(path)
    for (const [, library] of execFileSync('ldd', [path])
      .toString()
      .matchAll(/(\/[^\s]+\.so[^\s]*)/g))
      copy(library!)
  }
  put('etc/passwd', 'root:x:0:0:root:/root:/bin/bash\napp:x:1000:1000::/home/app:/bin/bash\n')
  put('etc/group', 'root:x:0:\napp:x:1000:\n')
  put('etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files dns\n')
  put('etc/skel/.bashrc', '')
  put('data/kept', 'kept')
  put('data/gone', 'gone')
  put('data/old/inside', 'inside')
  return root
}

/** @param paths of `root`, all by default */
export function tarOf(root: string, file: string, paths = ['.']): string {
  execFileSync('tar', ['--numeric-owner', '--owner=0', '--group=0', '-C', root, '-cf', file, ...paths])
  rmSync(root, { recursive: true })
  return file
}
