import { type Level, stepsOf } from './words.ts'

/** A completion script for zsh, with descriptions. */
export function zshCompletion(levels: readonly Level[]): string {
  const steps = stepsOf(levels).map(
    ({ from, to }) => `      ${from.map((it) => `"${it}"`).join('|')}) at="${to}" ;;`,
  )
  const words = levels.map(({ path, commands, options }) => {
    const named = commands.map(({ name, description }) => entry(name, description))
    const flags = options.map(({ flag, description }) => entry(flag, description))
    return `    "${path}")\n      commands=(${named.join(' ')})\n      flags=(${flags.join(' ')})\n      ;;`
  })
  return `#compdef e2b
# zsh completion of e2b. Use it with: e2b completion zsh > "\${fpath[1]}/_e2b"
_e2b() {
  local at=e2b word
  local -a commands flags
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$at $word" in
${steps.join('\n')}
    esac
  done
  case "$at" in
${words.join('\n')}
  esac
  if [[ $words[CURRENT] == -* ]]; then
    _describe -o option flags
  elif (( \${#commands} )); then
    _describe command commands
  else
    _files
  fi
}
if [[ $funcstack[1] == _e2b ]]; then _e2b "$@"; else compdef _e2b e2b; fi
`
}

/** `name:description`, with colons in the name escaped. */
const entry = (name: string, description: string): string =>
  `'${name.replaceAll(':', '\\:')}:${description.replaceAll("'", "'\\''")}'`
