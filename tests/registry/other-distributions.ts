import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { staticProgram } from './debian.ts'
import { tarOf } from './rootfs.ts'

/**
 * A lab reaches neither Alpine's nor Fedora's packages: programs with the command lines of `apk` and `dnf` replace the
 * real ones, and refuse any other arguments. A package is a folder of `/pool` with one program in it; as with the real
 * ones, an unknown name keeps the other packages of that call from being installed.
 */
const PACKAGE_MANAGERS = {
  alpine: {
    path: 'sbin/apk',
    script: `#!/bin/sh
echo "apk $*" >> /var/asked
case "$1" in
update) [ "$*" = "update --quiet" ] && [ -d /pool ] ;;
search) [ "$2" = --exact ] && [ $# = 3 ] && if [ -d "/pool/$3" ]; then echo "$3-1.0-r0"; fi ;;
add)
  [ "$2 $3" = "--no-cache --quiet" ] || exit 99
  shift 3
  for name; do [ -d "/pool/$name" ] || { echo "ERROR: unable to select packages: $name (no such package)" >&2; exit 1; }; done
  for name; do cp /pool/$name/* /bin/; done ;;
*) exit 99 ;;
esac`,
  },
  fedora: {
    path: 'usr/bin/dnf',
    script: `#!/bin/sh
echo "dnf $*" >> /var/asked
while :; do
  case "$1" in
  -y | --setopt=install_weak_deps=0 | --setopt=tsflags=nodocs | --setopt=timeout=20 | --setopt=retries=2) shift ;;
  *) break ;;
  esac
done
command=$1; shift
case "$command" in
makecache) [ -d /pool ] ;;
clean) [ "$*" = all ] ;;
list) [ -d "/pool/$1" ] ;;
install)
  for name; do [ -d "/pool/$name" ] || { echo "Error: Unable to find a match: $name" >&2; exit 1; }; done
  for name; do cp /pool/$name/* /bin/; done ;;
*) exit 99 ;;
esac`,
  },
}

export interface DistributionOptions {
  /** Packages of the source, with their programs. Absent: the source cannot be reached. */
  pool?: Record<string, string>
}

/** A root file system of busybox, without bash, with the package manager of that distribution. */
export async function distributionTar(
  name: keyof typeof PACKAGE_MANAGERS,
  { pool }: DistributionOptions,
  file: string,
): Promise<string> {
  const root = mkdtempSync(join(tmpdir(), 'sandlot-rootfs-'))
  const put = (path: string, content: string, mode = 0o644) => {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), content, { mode })
  }
  for (const folder of ['bin', 'sbin', 'usr/bin', 'usr/sbin', 'var', 'root', 'home'])
    mkdirSync(join(root, folder), { recursive: true })
  copyFileSync(await staticProgram('busybox-static', 'bin/busybox'), join(root, 'bin/busybox'))
  const applets = execFileSync(join(root, 'bin/busybox'), ['--list']).toString().trim().split('\n')
  // tools that are packages of their own here
  const packaged = ['busybox', 'bash', 'tar', 'less', 'ping', 'pgrep', 'getent', 'ss', 'dnf', 'apk']
  for (const applet of applets)
    if (!packaged.includes(applet)) symlinkSync('busybox', join(root, 'bin', applet))
  put('etc/passwd', 'root:x:0:0:root:/root:/bin/ash\n')
  put('etc/group', 'root:x:0:\n')
  put('etc/ssl/cert.pem', 'an authority\n')
  put(PACKAGE_MANAGERS[name].path, PACKAGE_MANAGERS[name].script, 0o755)
  for (const [packageName, program] of Object.entries(pool ?? {}))
    put(`pool/${packageName}/${program}`, `#!/bin/sh\necho "${program} of GNU"\n`, 0o755)
  if (pool)
    copyFileSync(await staticProgram('bash-static', 'bin/bash-static'), poolFolder(root, 'bash', 'bash'))
  return tarOf(root, file)
}

function poolFolder(root: string, packageName: string, program: string): string {
  const folder = join(root, 'pool', packageName)
  mkdirSync(folder, { recursive: true })
  return join(folder, program)
}
