import { quote } from '../exec/command-line.ts'
import type { SshFiles } from './files.ts'

/** Ends the host names of sandboxes, so that one Host block of an SSH configuration fits all of them. */
export const HOST_SUFFIX = '.sandlot'

/** Both names by which `ssh` may know a sandbox. */
export const hostNames = (sandboxId: string): string[] => [sandboxId, `${sandboxId}${HOST_SUFFIX}`]

/** `i0lf5glwo7abo25de80rz.sandlot` or the bare id. */
export const sandboxIdOf = (host: string): string =>
  host.endsWith(HOST_SUFFIX) ? host.slice(0, -HOST_SUFFIX.length) : host

/**
 * The options with which `ssh` enters a sandbox, as name and value.
 * @param program how to call this program, e.g. `['/usr/bin/node', '/usr/lib/e2b/main.mjs']`
 */
export function sshOptions(files: SshFiles, program: readonly string[]): [name: string, value: string][] {
  const words = [...program, 'sandbox', 'ssh', '--proxy']
  return [
    // OpenSSH before 9.6 lets a host name, e.g. of a git submodule, bring commands for the shell (CVE-2023-51385)
    ['ProxyCommand', `${words.map((word) => quote(word).replaceAll('%', '%%')).join(' ')} '%h'`],
    ['IdentityFile', inConfig(files.privateKey)],
    ['IdentitiesOnly', 'yes'],
    ['UserKnownHostsFile', inConfig(`${files.knownHosts}/`, '%h')],
    ['GlobalKnownHostsFile', '/dev/null'],
    ['StrictHostKeyChecking', 'yes'],
    ['UpdateHostKeys', 'no'],
    ['CheckHostIP', 'no'],
  ]
}

/** A Host block for `~/.ssh/config`. It does not apply to names with a quote, which would end the quotes around `%h`. */
export const hostBlock = (options: readonly [string, string][], user: string): string =>
  [
    `Host *${HOST_SUFFIX} "!*'*"`,
    `  User ${user}`,
    ...options.map(([name, value]) => `  ${name} ${value}`),
    '',
  ].join('\n')

/** Quotes a path for an SSH configuration, where `%` begins a token. */
const inConfig = (path: string, token = ''): string => `"${path.replaceAll('%', '%%')}${token}"`
