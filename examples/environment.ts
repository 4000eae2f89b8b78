/** Returns the variables that are set in this process, to be passed into a sandbox. */
export function fromEnvironment(...names: string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = process.env[name]
      return value ? [[name, value]] : []
    }),
  )
}

/** Default repository and task of the programs; `REPOSITORY` and `TASK` override them. */
export const repository = process.env.REPOSITORY ?? 'https://github.com/octocat/Hello-World.git'
export const task = process.env.TASK ?? 'Add a CONTRIBUTING.md that explains how to send a change'

/** The template to start from: `TEMPLATE`, if you built one on top of the ready-made one, else the default. */
export const template = (name: string): string => process.env.TEMPLATE ?? name

const START_TIMEOUT_MS = 300_000

/** Waits until a server in a sandbox answers with 2xx; until it listens, its port answers 502. */
export async function answers(url: string): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS
  let last: unknown
  while (Date.now() < deadline) {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(30_000) })
      if (response.ok) return
      last = response.status
    } catch (error) {
      last = error
    }
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
  throw new Error(`${url} did not answer within ${START_TIMEOUT_MS} ms: ${last}`)
}
