import { chmod, chown, cp, lstat, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import { DNS_ADDRESS } from '../firewall.ts'
import { pathInRoot } from './path-in-root.ts'

const USER = 'user'
const USUAL_ID = 1000

/** Changes whenever what is done to an image does. */
export const ADAPTATION = 2

/**
 * Gives the files of a foreign image what a sandbox needs: the user `user` (uid 1000 if it is free) with sudo if there
 * is one, names for itself and its resolver, and the folders that are mounted over.
 * @param searchPath PATH of the image's configuration, which the login shells of many images would forget
 * @throws SandlotError invalid_request when it has no bash
 */
export async function adaptRoot(root: string, image: string, searchPath?: string): Promise<void> {
  if (!(await exists(await pathInRoot(root, '/bin/bash'))))
    throw new SandlotError(
      'invalid_request',
      `image '${image}' has no /bin/bash, and commands of sandboxes are run by it: install bash in the image, or use one that is based on Debian or Ubuntu`,
    )
  // a tar of a temporary folder says 0700, and nobody but root would find a thing
  await chmod(root, 0o755)
  for (const folder of ['/proc', '/sys', '/dev', '/opt/sandlot', '/etc', '/root', '/home', '/run'])
    await mkdir(await pathInRoot(root, folder), { recursive: true })
  for (const folder of ['/tmp', '/var/tmp']) {
    const path = await pathInRoot(root, folder)
    await mkdir(path, { recursive: true })
    await chmod(path, 0o1777)
  }
  await keepTmpOnDisk(root)
  await replaceFile(root, '/etc/hostname', 'sandlot\n')
  await replaceFile(
    root,
    '/etc/hosts',
    '127.0.0.1 localhost sandlot\n::1 localhost ip6-localhost ip6-loopback\n',
  )
  await replaceFile(root, '/etc/resolv.conf', `nameserver ${DNS_ADDRESS}\noptions timeout:2 attempts:2\n`)
  if (searchPath && /^[\w./:+-]+$/.test(searchPath)) {
    await mkdir(await pathInRoot(root, '/etc/profile.d'), { recursive: true })
    await replaceFile(root, '/etc/profile.d/image-path.sh', `export PATH="${searchPath}"\n`)
  }
  await addUser(root)
}

/**
 * gVisor mounts a tmpfs over a `/tmp` that is empty: its files would count as memory, and be gone in a layer or a pause
 * without memory. The folder is one that a desktop needs there anyway.
 */
export async function keepTmpOnDisk(root: string): Promise<void> {
  const path = await pathInRoot(root, '/tmp/.X11-unix')
  if (await exists(path)) return
  await mkdir(path)
  await chmod(path, 0o1777)
}

async function addUser(root: string): Promise<void> {
  const passwd = await readLines(root, '/etc/passwd')
  if (!passwd.some((line) => line.startsWith('root:')))
    await addLine(root, '/etc/passwd', 'root:x:0:0:root:/root:/bin/bash')
  if (!passwd.some((line) => line.startsWith(`${USER}:`))) {
    const groups = await readLines(root, '/etc/group')
    const group = groups.find((line) => line.startsWith(`${USER}:`))
    const uid = freeId(passwd)
    const gid = group ? Number(group.split(':')[2]) : freeId(groups)
    if (!group) await addLine(root, '/etc/group', `${USER}:x:${gid}:`)
    await addLine(root, '/etc/passwd', `${USER}:x:${uid}:${gid}::/home/${USER}:/bin/bash`)
    if (await exists(await pathInRoot(root, '/etc/shadow')))
      await addLine(root, '/etc/shadow', `${USER}:!:19000:0:99999:7:::`)
    await makeHome(root, uid, gid)
  }
  const hasSudo = await exists(await pathInRoot(root, '/usr/bin/sudo'))
  if (hasSudo) {
    await mkdir(await pathInRoot(root, '/etc/sudoers.d'), { recursive: true })
    await replaceFile(
      root,
      `/etc/sudoers.d/${USER}`,
      `${USER} ALL=(ALL:ALL) NOPASSWD:ALL\nDefaults:${USER} !fqdn\n`,
      0o440,
    )
  }
}

/** 1000, else the first above that nobody has: some images have a user of their own there. */
export function freeId(lines: string[]): number {
  const taken = new Set(lines.map((line) => Number(line.split(':')[2])))
  let id = USUAL_ID
  while (taken.has(id)) id++
  return id
}

async function makeHome(root: string, uid: number, gid: number): Promise<void> {
  const home = await pathInRoot(root, `/home/${USER}`)
  await mkdir(home, { recursive: true })
  await chown(home, uid, gid)
  for (const name of ['.bashrc', '.profile', '.bash_logout']) {
    const skeleton = await pathInRoot(root, `/etc/skel/${name}`)
    if (!(await lstat(skeleton).catch(() => undefined))?.isFile()) continue
    await cp(skeleton, join(home, name))
    await chown(join(home, name), uid, gid)
  }
}

async function readLines(root: string, path: string): Promise<string[]> {
  const text = await readFile(await pathInRoot(root, path), 'utf8').catch(() => '')
  return text.split('\n').filter(Boolean)
}

async function addLine(root: string, path: string, line: string): Promise<void> {
  const file = await pathInRoot(root, path)
  const text = await readFile(file, 'utf8').catch(() => '')
  await writeFile(file, `${text}${text === '' || text.endsWith('\n') ? '' : '\n'}${line}\n`)
}

/** A link in its place is replaced, not followed: `/etc/resolv.conf` often leads to what only a booted system has. */
async function replaceFile(root: string, path: string, content: string, mode = 0o644): Promise<void> {
  const file = await pathInRoot(root, path, { isLinkItself: true })
  await rm(file, { recursive: true, force: true })
  await writeFile(file, content, { mode })
}

const exists = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  )
