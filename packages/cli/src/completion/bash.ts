import { type Level, stepsOf } from './words.ts'

/** A completion script for bash 3.2 and newer. */
export function bashCompletion(levels: readonly Level[]): string {
  const steps = stepsOf(levels).map(
    ({ from, to }) => `      ${from.map(quote).join('|')}) at=${quote(to)} ;;`,
  )
  const words = levels.map(({ path, commands, options }) => {
    const all = [...commands.map(({ name }) => name), ...options.map(({ flag }) => flag)]
    return `    ${quote(path)}) words=${quote(all.join(' '))} ;;`
  })
  return `# bash completion of e2b. Use it with: source <(e2b completion bash)
_e2b() {
  local at=e2b words= word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$at $word" in
${steps.join('\n')}
    esac
  done
  case "$at" in
${words.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _e2b e2b
`
}

const quote = (text: string): string => `"${text}"`
