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

/**
 * Deno reads authorities once, so `fetch` and `WebSocket` get a client of their own with the new ones, unless the caller
 * brings a client. Programs that use node:tls get them as its default. What the user has set as DENO_CERT is kept.
 */
const trust = (file: string): string => `
if ([undefined, ${JSON.stringify(file)}].includes(Deno.env.get("DENO_CERT"))) {
  const trusting = globalThis[Symbol.for("sandlot.trust")] ??= {}
  const isFirst = trusting.client === undefined
  const caCerts = Deno.readTextFileSync(${JSON.stringify(file)}).match(/-----BEGIN [^]+?-----END CERTIFICATE-----/g)
  trusting.client = Deno.createHttpClient({ caCerts })
  const tls = require("node:tls")
  tls.setDefaultCACertificates([...tls.getCACertificates("default"), ...caCerts])
  if (isFirst) {
    const hasClient = (request) => Object.getOwnPropertySymbols(request).some((key) => request[key]?.clientRid != null)
    globalThis.fetch = new Proxy(fetch, {
      apply(own, self, [input, init]) {
        const isSet = init?.client ?? (input instanceof Request && hasClient(input))
        return Reflect.apply(own, self, [input, isSet ? init : { ...init, client: trusting.client }])
      },
    })
    globalThis.WebSocket = new Proxy(WebSocket, {
      construct(Own, [url, options = []], target) {
        const named = typeof options === "string" || Array.isArray(options) ? { protocols: options } : options
        return Reflect.construct(Own, [url, { client: trusting.client, ...named }], target)
      },
    })
  }
}
`

/** JavaScript and TypeScript share one kernel. */
export const deno: Omit<Language, 'name'> = {
  kernels: ['deno'],
  install: 'sudo npm install --global deno',
  prelude: PRELUDE,
  trust,
  environment: {
    change: (variables) => `${literal(variables)}.forEach(${put})`,
    add: (variables) => `${literal(variables)}.filter(([name]) => !Deno.env.has(name)).forEach(${put})`,
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
