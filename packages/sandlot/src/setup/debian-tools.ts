import { existsSync, readFileSync } from 'node:fs'
import { CommandError, run } from '@sandlot/node/host/run'
import { SandlotError } from '@sandlot/protocol'
import type { Step } from '../progress.ts'
import { findExecutable } from './go.ts'

const UPDATE_TIMEOUT_MS = 3 * 60_000
const INSTALL_TIMEOUT_MS = 10 * 60_000

/** Debian packages, each with the program or NSS library that shows that it is installed, and its purpose. */
const TOOLS = [
  { package: 'mmdebstrap', program: 'mmdebstrap', use: 'builds the base image' },
  { package: 'nftables', program: 'nft', use: 'keeps sandboxes apart' },
  { package: 'iproute2', program: 'ip', use: 'makes network slots' },
  { package: 'iproute2', program: 'tc', use: 'filters their packets' },
  { package: 'conntrack', program: 'conntrack', use: 'removes tracked connections of ended sandboxes' },
  { package: 'erofs-utils', program: 'mkfs.erofs', use: 'packs the base image' },
  { package: 'libnss-myhostname', library: 'libnss_myhostname.so.2', use: 'resolves *.localhost' },
] as const

export type Tool = (typeof TOOLS)[number]

const ADMIN_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin']
const LIBRARY_FOLDERS = [
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib/aarch64-linux-gnu',
  '/usr/lib64',
  '/usr/lib',
  '/lib64',
  '/lib',
]

export const isPresent = (tool: Tool): boolean =>
  'program' in tool
    ? findExecutable(tool.program, ADMIN_FOLDERS) !== undefined
    : LIBRARY_FOLDERS.some((folder) => existsSync(`${folder}/${tool.library}`))

export const missingTools = (): Tool[] => TOOLS.filter((tool) => !isPresent(tool))
export const allTools = (): readonly Tool[] => TOOLS

/** Whether this /etc/os-release describes Debian or a derivative. */
export function isDebianFamily(osRelease: string): boolean {
  const ids = [...osRelease.matchAll(/^(?:ID|ID_LIKE)="?([^"\n]*)"?$/gm)].flatMap((match) =>
    match[1]!.split(' '),
  )
  return ids.includes('debian') || ids.includes('ubuntu')
}

/**
 * Installs missing packages in one apt-get run, when this process is root on Debian or a derivative.
 * @throws SandlotError invalid_request that names the packages otherwise, or quotes apt when apt fails
 */
export async function ensureDebianTools(step: Step): Promise<string> {
  const missing = missingTools()
  if (missing.length === 0) return 'ready'
  const packages = [...new Set(missing.map((tool) => tool.package))]
  if (process.getuid?.() !== 0 || !isDebianFamily(readOsRelease()) || !findExecutable('apt-get')) {
    const reasons = missing.map((tool) => `${tool.package} (${tool.use})`).join(', ')
    throw new SandlotError(
      'invalid_request',
      `please install: ${reasons}. On Debian: apt-get install ${packages.join(' ')}`,
    )
  }
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const apt = (args: string[], timeoutMs: number) =>
    run('apt-get', ['-o', 'DPkg::Lock::Timeout=120', '-qy', ...args], {
      timeoutMs,
      env,
      onLine: (line) => step.update(line.slice(0, 70)),
    })
  step.update(`apt-get install ${packages.join(' ')}`)
  // A failed update (e.g. of one unreachable source) does not matter when apt knows the packages already.
  const updateError = await apt(['update'], UPDATE_TIMEOUT_MS).then(
    () => undefined,
    (error: Error) => error,
  )
  try {
    await apt(['install', '--no-install-recommends', ...packages], INSTALL_TIMEOUT_MS)
  } catch (cause) {
    const update = updateError ? `\n  apt-get update: ${updateError.message}` : ''
    const install = cause instanceof CommandError ? cause.message : String(cause)
    throw new SandlotError(
      'invalid_request',
      `cannot install ${packages.join(' ')}.\n  ${install}${update}`,
      { cause },
    )
  }
  const still = missingTools()
  if (still.length > 0) {
    throw new SandlotError(
      'invalid_request',
      `apt-get installed ${packages.join(' ')}, but ${still.map((tool) => tool.package).join(', ')} cannot be found`,
    )
  }
  return `installed ${packages.join(' ')}`
}

function readOsRelease(): string {
  try {
    return readFileSync('/etc/os-release', 'utf8')
  } catch {
    return ''
  }
}
