import type { OptionValue } from './server-config.ts'

/** What it takes to reach one server. */
export type Launch =
  | {
      kind: 'process'
      command: string
      arguments: string[]
      environment: Record<string, string>
      /** Default: the home directory. */
      folder?: string
    }
  | { kind: 'remote'; transport: 'streamable-http' | 'sse'; url: string; headers: Record<string, string> }

const text = (value: OptionValue): string => (Array.isArray(value) ? value.join(',') : String(value))

/** Environment variables for the options that are given. */
export function environmentOf(
  declared: Record<string, { env?: string }>,
  options: Record<string, OptionValue>,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(options).flatMap(([name, value]) => {
      const env = declared[name]?.env
      return env ? [[env, text(value)]] : []
    }),
  )
}

/**
 * Fills `{option}` and `{home}` in arguments. An argument that is only a list's option becomes an argument for each of
 * its items; one whose option is not given is left out.
 */
export function fillArguments(
  templates: string[],
  options: Record<string, OptionValue>,
  home: string,
): string[] {
  return templates.flatMap((template) => {
    const only = /^\{(\w+)\}$/.exec(template)?.[1]
    const list = only === undefined ? undefined : options[only]
    if (Array.isArray(list)) return list.map(String)
    const names = [...template.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!)
    if (names.some((name) => name !== 'home' && options[name] === undefined)) return []
    return [template.replaceAll(/\{(\w+)\}/g, (_, name) => (name === 'home' ? home : text(options[name]!)))]
  })
}

/** Fills `${VARIABLE}` in headers. A header whose variable is not given is left out. */
export function fillHeaders(
  headers: Record<string, string>,
  environment: Record<string, string>,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => {
      const variables = [...value.matchAll(/\$\{(\w+)\}/g)].map(([, variable]) => variable!)
      if (variables.some((variable) => environment[variable] === undefined)) return []
      return [[name, value.replaceAll(/\$\{(\w+)\}/g, (_, variable) => environment[variable]!)]]
    }),
  )
}
