// What the JavaScript programs of this folder and of tests/matrix share: one JSON line a step, `{step, ok}` with `error`.
// `node with-<package>.mjs <folder>`: the folder's node_modules holds the package, which finds the server by the environment.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

/** Loads a package of the folder as `require` does. */
export const installed = createRequire(pathToFileURL(`${process.argv[2]}/package.json`))

/** Loads what the package exports to `import`. */
export const load = (name) => import(pathToFileURL(installed.resolve(name)))

export async function attempt(step, body) {
  try {
    const value = await body()
    console.log(JSON.stringify({ step, ok: true }))
    return value
  } catch (error) {
    process.exitCode = 1
    console.log(JSON.stringify({ step, ok: false, error: `${error?.name}: ${error?.message}`.slice(0, 500) }))
  }
}

export function check(condition, what) {
  if (!condition) throw new Error(typeof what === 'string' ? what : JSON.stringify(what))
}

/** Fetches an address once the server that was just started listens there. */
export async function fetchText(url) {
  const deadline = Date.now() + 15_000
  for (;;) {
    const response = await fetch(url, { signal: AbortSignal.timeout(20_000) })
    const text = await response.text()
    if (response.ok) return text
    if (Date.now() > deadline) throw new Error(`${response.status}: ${text}`)
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}
