// `sandlot up` starts this beside the server: `node --conditions=sandlot-source templates/build.ts <name>…` builds those
// templates of the catalogue that are not there yet, with the SDK, like any other. One JSON object a line on standard output.
import { createHash } from 'node:crypto'
import { Template } from 'e2b'
import type { CatalogTemplate } from './catalog-template.ts'

/** A build is found again by a tag that says what it was made of. */
const CONTENT_TAG = 'content-'

export type CatalogReport = { name: string } & (
  | { state: 'building'; step?: string }
  | { state: 'ready'; seconds: number; wasThere: boolean }
  | { state: 'failed'; reason: string }
)

const report = (line: CatalogReport): void => void process.stdout.write(`${JSON.stringify(line)}\n`)

const baseBuildId = await newestBuildOf('base')
for (const name of process.argv.slice(2)) {
  // a registry may not have answered; steps that were finished are not done again
  const error = await ensure(name).catch(() => ensure(name).catch((error: Error) => error))
  if (error) {
    report({ name, state: 'failed', reason: error.message })
    process.exitCode = 1
  }
}

async function ensure(name: string): Promise<void> {
  const started = performance.now()
  const { default: entry } = (await import(`./${name}/template.ts`)) as { default: CatalogTemplate }
  const { template, cpuCount, memoryMB } = entry
  // whatever changes the base (its image, envd, runsc) changes its build
  const content = JSON.stringify([await Template.toJSON(template), cpuCount, memoryMB, baseBuildId])
  const tag = CONTENT_TAG + createHash('sha256').update(content).digest('hex').slice(0, 16)
  const seconds = () => Math.round((performance.now() - started) / 1000)
  if (await Template.exists(`${name}:${tag}`))
    return report({ name, state: 'ready', seconds: seconds(), wasThere: true })
  report({ name, state: 'building' })
  await Template.build(template, name, {
    ...{ cpuCount, memoryMB, tags: ['default', tag] },
    onBuildLogs: ({ message }) => {
      const step = /^\[(?:builder \d|finalize|base)[^\]]*\] .*/.exec(message)?.[0]
      if (step) report({ name, state: 'building', step: step.slice(0, 120) })
    },
  })
  const stale = (await Template.getTags(name)).filter(
    (other) => other.tag.startsWith(CONTENT_TAG) && other.tag !== tag,
  )
  if (stale.length > 0)
    await Template.removeTags(
      name,
      stale.map((other) => other.tag),
    )
  report({ name, state: 'ready', seconds: seconds(), wasThere: false })
}

/** The SDK lists builds of own templates only. */
async function newestBuildOf(name: string): Promise<string> {
  const { E2B_API_URL, E2B_API_KEY } = process.env
  const response = await fetch(`${E2B_API_URL}/templates/${name}`, {
    headers: { 'x-api-key': E2B_API_KEY! },
    signal: AbortSignal.timeout(30_000),
  })
  if (!response.ok) throw new Error(`template '${name}': ${response.status} ${await response.text()}`)
  const { builds } = (await response.json()) as { builds: Array<{ buildID: string }> }
  return builds[0]!.buildID
}
