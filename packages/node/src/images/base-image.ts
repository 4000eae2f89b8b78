import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, cp, mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { detachMount, mountsIn } from '../host/mounts.ts'
import { run } from '../host/run.ts'
import { DNS_ADDRESS } from '../network/dns-address.ts'
import { ALLOW_FUSE_FOR_OTHERS, KEEP_CHANGED_FILES } from './changed-files.ts'
import { EXTRA_CA_PROFILE } from './extra-ca-profile.ts'
import { REMOVE_SSH_HOST_KEYS } from './ssh-host-keys.ts'
import { SYSTEMCTL, SYSTEMCTL_PATH } from './systemctl.ts'

const packages = [
  'autoconf',
  'build-essential',
  'ca-certificates',
  'chrony',
  'curl',
  'file',
  'fuse3',
  'gh',
  'git',
  'gpg',
  'gpg-agent',
  'imagemagick',
  'iproute2',
  'iptables',
  'iputils-ping',
  'jq',
  'less',
  'libffi-dev',
  'libnss-myhostname',
  'libpq-dev',
  'libssl-dev',
  'libxml2-dev',
  'mercurial',
  'nano',
  'ncurses-bin',
  'ncurses-term',
  'netcat-openbsd',
  'nfs-common',
  'nftables',
  'openssh-client',
  'openssh-server',
  'pkg-config',
  'procps',
  'psmisc',
  'python-is-python3',
  'python3',
  'python3-dev',
  'python3-pip',
  'python3-venv',
  'ripgrep',
  'rsync',
  'socat',
  'subversion',
  'sudo',
  'unzip',
  'wget',
  'xz-utils',
  'zip',
]

/** Files of packages that are useless in a sandbox; licences are kept. */
const LEFT_OUT = [
  '/usr/share/man/*',
  '/usr/share/info/*',
  '/usr/share/locale/*',
  '/usr/share/doc/*',
  // only needed to link programs statically with ICU or Python
  '/usr/lib/*/libicu*.a',
  '/usr/lib/python3*/config-*/libpython*.a',
]
const KEPT = ['/usr/share/locale/locale.alias', '/usr/share/doc/*/copyright']

/** Lock file of npm and yarn with the hashes of all their dependencies, written by `templates/lock.ts`. */
const NPM_LOCK = ['package.json', 'package-lock.json']
const npmLockDir = join(import.meta.dirname, 'base-npm')
/**
 * No inline data, with which execve fails with EFAULT in gVisor, and no extended attributes (file capabilities of ping), which
 * make a file unreadable there.
 */
const EROFS_FLAGS = ['-d0', '--quiet', '-x-1', '-E', 'noinline_data']
const DEBOOTSTRAP_TIMEOUT_MS = 15 * 60_000

/**
 * Like Debian's /etc/profile, but without running `id -u`, because bash knows its uid: a fork costs ten times more in gVisor
 * than natively, and every `commands.run` is a login shell.
 */
const PROFILE = `if [ "\${EUID:-$(id -u)}" -eq 0 ]; then
  PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
else
  PATH="/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games:/usr/local/sbin:/usr/sbin:/sbin"
fi
export PATH
if [ "\${PS1-}" ]; then
  if [ "\${BASH-}" ] && [ "$BASH" != "/bin/sh" ]; then
    [ -f /etc/bash.bashrc ] && . /etc/bash.bashrc
  elif [ "\${EUID:-1}" -eq 0 ]; then
    PS1='# '
  else
    PS1='$ '
  fi
fi
if [ -d /etc/profile.d ]; then
  for i in /etc/profile.d/*.sh; do
    [ -r "$i" ] && . "$i"
  done
  unset i
fi
`

export interface BaseImageOptions {
  /** Folder for images, which are named by content key. */
  cacheDir: string
  /** Node binary for the image: the mostly static one of npm starts in half the time of Debian's. */
  nodeBinary: string
  /** PEM files of certificate authorities that sandboxes trust besides Debian's. */
  extraCaCertificates: string[]
  progress: (message: string) => void
}

/** Makes Debian 12 with the tools that developers expect, as an EROFS image. Built once per content key; appears by rename. */
export async function ensureBaseImage(options: BaseImageOptions): Promise<{ path: string; key: string }> {
  const certificates = await Promise.all(options.extraCaCertificates.map((file) => readFile(file, 'utf8')))
  const npmLock = await Promise.all(NPM_LOCK.map((file) => readFile(join(npmLockDir, file), 'utf8')))
  const key = createHash('sha256')
    .update(
      JSON.stringify([
        packages,
        LEFT_OUT,
        KEPT,
        npmLock,
        PROFILE,
        EXTRA_CA_PROFILE,
        EROFS_FLAGS,
        REMOVE_SSH_HOST_KEYS,
        ALLOW_FUSE_FOR_OTHERS,
        KEEP_CHANGED_FILES,
        SYSTEMCTL,
        customize.toString(),
        process.version,
        certificates,
      ]),
    )
    .digest('hex')
    .slice(0, 32)
  const path = join(options.cacheDir, 'images', `base-${key}.erofs`)
  if (existsSync(path)) return { path, key }

  await mkdir(join(options.cacheDir, 'images'), { recursive: true })
  for (const name of await readdir(join(options.cacheDir, 'images')))
    if (name.startsWith('.building-') && !existsSync(`/proc/${name.slice('.building-'.length)}`))
      await removeUnfinished(join(options.cacheDir, 'images', name))
  const work = join(options.cacheDir, 'images', `.building-${process.pid}`)
  await removeUnfinished(work)
  await mkdir(work)
  try {
    const root = join(work, 'root')
    options.progress('installing Debian 12 packages')
    await run(
      'mmdebstrap',
      [
        '--variant=minbase',
        '--mode=root',
        '--format=directory',
        ...LEFT_OUT.map((pattern) => `--dpkgopt=path-exclude=${pattern}`),
        ...KEPT.map((pattern) => `--dpkgopt=path-include=${pattern}`),
        `--include=${packages.join(',')}`,
        'bookworm',
        root,
      ],
      {
        timeoutMs: DEBOOTSTRAP_TIMEOUT_MS,
        onLine: (line) => /^I: (?!success|running)/.test(line) && options.progress(line.slice(3)),
      },
    )
    options.progress('adding Node, npm, the user and the certificates')
    await customize(root, work, options.nodeBinary, certificates)
    options.progress('writing the EROFS image')
    const image = join(work, 'image.erofs')
    await run('mkfs.erofs', [...EROFS_FLAGS, image, root], { timeoutMs: 10 * 60_000 })
    await rename(image, path)
  } finally {
    await removeUnfinished(work)
  }
  return { path, key }
}

/** Removes the folder of a build, also when mmdebstrap was killed and has left /proc and other mounts in it. */
export async function removeUnfinished(work: string): Promise<void> {
  for (const { target } of mountsIn(work)) detachMount(target)
  await rm(work, { recursive: true, force: true })
}

/** Its source text is part of the image's key: any change, also of a comment, builds a new base image. */
async function customize(
  root: string,
  work: string,
  nodeBinary: string,
  certificates: string[],
): Promise<void> {
  const write = (path: string, content: string, mode = 0o644) =>
    writeFile(join(root, path), content, { mode })
  const chroot = (...command: string[]) => run('chroot', [root, ...command], { timeoutMs: 120_000 })

  await cp(nodeBinary, join(root, 'usr/local/bin/node'), { dereference: true })
  const npmDir = join(work, 'npm')
  await mkdir(npmDir, { recursive: true })
  for (const file of NPM_LOCK) await cp(join(npmLockDir, file), join(npmDir, file))
  await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    timeoutMs: 300_000,
    cwd: npmDir,
  })
  const modules = join(root, 'usr/local/lib/node_modules')
  await mkdir(modules, { recursive: true })
  for (const name of ['npm', 'yarn'])
    await cp(join(npmDir, 'node_modules', name), join(modules, name), { recursive: true })
  for (const [link, target] of [
    ['npm', 'npm/bin/npm-cli.js'],
    ['npx', 'npm/bin/npx-cli.js'],
    ['yarn', 'yarn/bin/yarn.js'],
  ])
    await chroot('ln', '-sf', `../lib/node_modules/${target}`, `/usr/local/bin/${link}`)

  // what is installed in a sandbox is installed whole; installations of Java or a PostgreSQL client need the folders of manual pages
  await rm(join(root, 'etc/dpkg/dpkg.cfg.d/99mmdebstrap'), { force: true })
  for (let i = 1; i <= 8; i++) await mkdir(join(root, `usr/share/man/man${i}`), { recursive: true })
  for (const script of [REMOVE_SSH_HOST_KEYS, ALLOW_FUSE_FOR_OTHERS, KEEP_CHANGED_FILES])
    await chroot('sh', '-c', script)
  // s3fs, rclone and gcsfuse read in it which mounts there are
  await symlink('../proc/self/mounts', join(root, 'etc/mtab'))
  await write(SYSTEMCTL_PATH, SYSTEMCTL, 0o755)
  await write('etc/profile', PROFILE)
  await write('etc/hostname', 'sandlot\n')
  await write('etc/hosts', '127.0.0.1 localhost sandlot\n::1 localhost ip6-localhost ip6-loopback\n')
  await rm(join(root, 'etc/resolv.conf'), { force: true })
  await write('etc/resolv.conf', `nameserver ${DNS_ADDRESS}\noptions timeout:2 attempts:2\n`)
  await write(
    'etc/apt/apt.conf.d/99sandlot',
    'APT::Install-Recommends "false";\nAcquire::Languages "none";\nAPT::Sandbox::User "root";\n',
  )
  await rm(join(root, 'var/cache/apt'), { recursive: true, force: true })
  await mkdir(join(root, 'var/cache/apt/archives/partial'), { recursive: true })
  await keepTmpOnDisk(root)

  await chroot('useradd', '--create-home', '--shell', '/bin/bash', '--uid', '1000', '--user-group', 'user')
  await write('etc/sudoers.d/user', 'user ALL=(ALL:ALL) NOPASSWD:ALL\nDefaults:user !fqdn\n', 0o440)
  // E2B's templates let the default user install into /usr/local
  await chroot('chown', '-R', 'user:user', '/usr/local')
  await write(
    'etc/pip.conf',
    '[global]\nbreak-system-packages = true\nroot-user-action = ignore\ndisable-pip-version-check = true\n',
  )

  if (certificates.length > 0) {
    for (const [index, pem] of certificates.entries())
      await write(`usr/local/share/ca-certificates/sandlot-extra-${index}.crt`, pem)
    await chroot('update-ca-certificates')
    await write('etc/profile.d/extra-ca.sh', EXTRA_CA_PROFILE)
  }
}

/**
 * Puts a folder into `/tmp`, because gVisor mounts a tmpfs over an empty one, whose files would count as memory and be lost in
 * a layer or a pause without memory. A desktop needs this folder anyway; guest/imager makes it in foreign images.
 */
async function keepTmpOnDisk(root: string): Promise<void> {
  const path = join(root, 'tmp', '.X11-unix')
  if (existsSync(path)) return
  await mkdir(path)
  await chmod(path, 0o1777)
}
