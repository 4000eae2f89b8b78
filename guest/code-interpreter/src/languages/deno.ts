import { stripTypeScriptTypes } from 'node:module'
import type { Language } from '../language.ts'

const saved = 'globalThis[Symbol.for("sandlot.environment")]'
const literal = (variables: Record<string, string | undefined>): string =>
  JSON.stringify(Object.entries(variables).map(([name, value]) => [name, value ?? null]))
const put = '([name, value]) => value === null ? Deno.env.delete(name) : Deno.env.set(name, value)'

/**
 * Defines `require`, because much code for Node is CommonJS, which finds packages of `npm install` in the context's
 * folder; and redirects `process.stdout`, as Deno's kernel loses output to it.
 */
const PRELUDE = `
globalThis.require = (await import("node:module")).createRequire(Deno.cwd() + "/")
for (const name of ["stdout", "stderr"]) process[name].write = (chunk, ...rest) => {
  const text = typeof chunk === "string" ? chunk : new TextDecoder().decode(chunk)
  Deno.jupyter.broadcast("stream", { name, text })
  if (typeof rest.at(-1) === "function") queueMicrotask(rest.at(-1))
  return true
}
`

/** JavaScript and TypeScript share one kernel. */
export const deno: Omit<Language, 'name'> = {
  kernels: ['deno'],
  install: 'sudo npm install --global deno',
  prelude: PRELUDE,
  environment: {
    change: (variables) => `${literal(variables)}.forEach(${put})`,
    enter: (variables) =>
      `${saved} = ${JSON.stringify(Object.keys(variables))}.map((name) => [name, Deno.env.get(name) ?? null]); ${literal(variables)}.forEach(${put})`,
    leave: () => `${saved}.forEach(${put}); delete ${saved}`,
  },
  explain(code) {
    try {
      stripTypeScriptTypes(code, { mode: 'strip' })
      return undefined
    } catch (error) {
      return { ename: 'SyntaxError', evalue: (error as Error).message }
    }
  },
}
