import { type Level, stepsOf } from './words.ts'

/** A completion script for fish, with descriptions. */
export function fishCompletion(levels: readonly Level[]): string {
  const steps = stepsOf(levels).map(
    ({ from, to }) => `            case ${from.map(quote).join(' ')}\n                set at ${quote(to)}`,
  )
  const lines = levels.flatMap(({ path, commands, options }) => {
    const condition = `complete -c e2b -n ${quote(`__e2b_at '${path}'`)}`
    return [
      ...commands.map(({ name, description }) => `${condition} -f -a ${name} -d ${quote(description)}`),
      ...options.map(({ flag, description }) => `${condition} ${optionOf(flag)} -d ${quote(description)}`),
    ]
  })
  return `# fish completion of e2b. Use it with: e2b completion fish > ~/.config/fish/completions/e2b.fish
function __e2b_at
    set -l at e2b
    for word in (commandline -opc)[2..]
        switch "$at $word"
${steps.join('\n')}
        end
    end
    test "$at" = $argv[1]
end
${lines.join('\n')}
`
}

const optionOf = (flag: string): string =>
  flag.startsWith('--') ? `-l ${quote(flag.slice(2))}` : `-s ${quote(flag.slice(1))}`

const quote = (text: string): string => `"${text.replace(/["\\$]/g, '\\$&')}"`
