import type { BuildEnvironment, BuildStep } from '@sandlot/protocol/node'
import { resolveIn } from './recipe.ts'

/** Where the archive of a COPY is uploaded in the machine. */
export const COPY_ARCHIVE = '/var/tmp/.sandlot-copy.tar'
const COPY_FOLDER = '/var/tmp/.sandlot-copy'

export interface StepScript {
  command: string
  user: string
  cwd?: string
}

/** Returns the script of a step; ENV, and WORKDIR with the root, have none. */
export function scriptOf(step: BuildStep, environment: BuildEnvironment): StepScript | undefined {
  switch (step.type) {
    case 'RUN':
      return {
        command: step.command,
        user: step.user ?? environment.defaultUser,
        cwd: environment.defaultWorkdir,
      }
    case 'WORKDIR': {
      const resolved = resolveIn(environment, step.path)
      if (resolved === '/') return undefined
      const path = quote(resolved)
      const owner = quote(environment.defaultUser)
      return { command: `set -e\nmkdir -p ${path}\nchown ${owner}: ${path}`, user: 'root', cwd: '/' }
    }
    case 'USER':
      return { command: userScript(step.user, step.hasSudo), user: 'root', cwd: '/' }
    case 'COPY':
      return { command: copyScript(step, environment), user: 'root', cwd: '/' }
    case 'ENV':
      return undefined
  }
}

/** Quotes text for bash. */
export const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

function userScript(user: string, hasSudo: boolean): string {
  const name = quote(user)
  const lines = [
    'set -e',
    `id -u ${name} >/dev/null 2>&1 || useradd --create-home --shell /bin/bash -- ${name}`,
    `home=$(getent passwd ${name} | cut -d: -f6)`,
    `if [ -n "$home" ] && [ ! -d "$home" ]; then mkdir -p "$home" && chown ${name}: "$home"; fi`,
  ]
  if (hasSudo) {
    const rule = quote(`${user} ALL=(ALL:ALL) NOPASSWD:ALL`)
    const file = quote(`/etc/sudoers.d/${user.replaceAll('.', '_')}`)
    lines.push(`mkdir -p /etc/sudoers.d && printf '%s\\n' ${rule} > ${file} && chmod 0440 ${file}`)
  }
  return lines.join('\n')
}

/**
 * Unpacks the archive and merges the requested part into the target: the content of a folder, or a single file. Existing
 * folders keep their mode and owner.
 */
function copyScript(step: BuildStep & { type: 'COPY' }, environment: BuildEnvironment): string {
  const source = withoutGlob(step.source)
  const target = resolveIn(environment, step.target)
  const isFolder = /(^|\/)\.{0,2}$/.test(step.target)
  const owner = step.owner || environment.defaultUser
  const lines = [
    'set -e',
    `T=${COPY_FOLDER}; rm -rf "$T"; mkdir -m 0755 "$T"`,
    `trap 'rm -rf "$T" ${COPY_ARCHIVE}' EXIT`,
    `tar -C "$T" -xpf ${COPY_ARCHIVE}`,
    `S="$T"/${quote(source)}; D=${quote(target)}`,
    `if [ ! -e "$S" ] && [ ! -L "$S" ]; then echo ${quote(`'${step.source}' is not among the files that were sent`)} >&2; exit 1; fi`,
    // changes the owner of new files only, not of existing parent folders
    `chown -hR ${quote(owner.includes(':') ? owner : `${owner}:`)} "$T"`,
  ]
  if (step.mode) lines.push(`[ -L "$S" ] || chmod -R ${quote(step.mode)} "$S"`)
  lines.push(
    'if [ -d "$S" ] && [ ! -L "$S" ]; then',
    `  if [ ! -d "$D" ]; then mkdir -p "$D"; chown ${quote(owner.includes(':') ? owner : `${owner}:`)} "$D"; fi`,
    '  tar -C "$S" -cf - . | tar -C "$D" -xpf - --no-overwrite-dir --keep-directory-symlink',
    'else',
    `  if ${isFolder ? 'true' : '[ -d "$D" ]'}; then mkdir -p "$D"; D="$D/$(basename "$S")"; else mkdir -p "$(dirname "$D")"; fi`,
    '  if [ -d "$D" ] && [ ! -L "$D" ]; then echo "$D is a directory" >&2; exit 1; fi',
    '  mv -f -T "$S" "$D"',
    'fi',
  )
  return lines.join('\n')
}

/** `src/*.txt` → `src`: clients send the matches of a pattern with paths from the folder before the pattern. */
export function withoutGlob(source: string): string {
  const parts = source.split('/').filter((part) => part !== '' && part !== '.')
  const glob = parts.findIndex((part) => /[*?[\]{}]/.test(part))
  return (glob < 0 ? parts : parts.slice(0, glob)).join('/')
}
