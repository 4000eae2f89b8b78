import type { Language } from '../language.ts'

/** An R string literal, with code points for everything but printable ASCII. */
const text = (value: string): string =>
  `"${[...value].map((c) => (/[ !#-[\]-~]/.test(c) ? c : `\\U{${c.codePointAt(0)!.toString(16)}}`)).join('')}"`
const set = (variables: [string, string][]): string =>
  variables.length === 0
    ? ''
    : `Sys.setenv(${variables.map(([n, v]) => `${'`'}${n}${'`'} = ${text(v)}`).join(', ')})`
const names = (variables: Record<string, unknown>): string =>
  `c(${Object.keys(variables).map(text).join(', ')})`
const saved = 'sandlot.environment'

export const r: Language = {
  name: 'r',
  kernels: ['ir'],
  showsValues: true,
  install: 'sudo apt-get update && sudo apt-get install --yes r-cran-irkernel',
  environment: {
    change(variables) {
      const gone = Object.entries(variables).filter(([, value]) => value === undefined)
      const kept = Object.entries(variables).filter(
        (entry): entry is [string, string] => entry[1] !== undefined,
      )
      const unset = gone.length === 0 ? '' : `Sys.unsetenv(${names(Object.fromEntries(gone))})\n`
      return `${unset}${set(kept)}`
    },
    add: (variables) =>
      Object.entries(variables)
        .map(([n, v]) => `if (is.na(Sys.getenv(${text(n)}, unset = NA))) ${set([[n, v]])}`)
        .join('\n'),
    enter: (variables) =>
      `options(${saved} = Sys.getenv(${names(variables)}, unset = NA, names = TRUE))\n${set(Object.entries(variables))}`,
    leave: () =>
      `local({ was <- getOption("${saved}"); Sys.unsetenv(names(was)[is.na(was)]); if (any(!is.na(was))) do.call(Sys.setenv, as.list(was[!is.na(was)])) })`,
  },
}
