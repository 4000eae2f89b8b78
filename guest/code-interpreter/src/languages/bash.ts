import type { Language } from '../language.ts'

/** Quotes a string; between single quotes only the quote itself is special. */
const quote = (value: string): string => `'${value.replaceAll("'", `'"'"'`)}'`
/** Selects the variables with names that bash allows. */
const named = (variables: Record<string, string | undefined>): [string, string | undefined][] =>
  Object.entries(variables).filter(([name]) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
const put = ([name, value]: [string, string | undefined]): string =>
  value === undefined ? `unset ${name}` : `export ${name}=${quote(value)}`

export const bash: Language = {
  name: 'bash',
  kernels: ['bash'],
  install: 'pip install bash_kernel',
  environment: {
    change: (variables) => named(variables).map(put).join('\n'),
    add: (variables) =>
      named(variables)
        .map(([name, value]) => `[ -n "\${${name}+set}" ] || export ${name}=${quote(value!)}`)
        .join('\n'),
    enter: (variables) =>
      named(variables)
        .map(
          ([name, value]) =>
            `__sandlot_${name}="\${${name}-}" __sandlot_had_${name}="\${${name}+yes}"\n${put([name, value])}`,
        )
        .join('\n'),
    leave: (variables) =>
      named(variables)
        .map(([name]) =>
          [
            `if [ -n "$__sandlot_had_${name}" ]; then export ${name}="$__sandlot_${name}"; else unset ${name}; fi`,
            `unset __sandlot_${name} __sandlot_had_${name}`,
          ].join('\n'),
        )
        .join('\n'),
  },
}
