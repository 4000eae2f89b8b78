// Builds the missing templates of the catalogue with the SDK, like any other template. `sandlot up` runs it beside the
// server: `node --conditions=sandlot-source templates/build.ts <name>…`. Writes one JSON object per line to standard
// output.
import { createHash } from 'node:crypto'
import { createInterface } from 'node:readline'
import { Template } from 'e2b'
import type { CatalogTemplate } from './catalog-template.ts'

/** Prefix of the tag that identifies the inputs of a build, by which the build is found again. */
const CONTENT_TAG = 'content-'

/**
 * Messages of this program, one per line. After `next` it reads an answer: `build`, or anything else to skip the
 * template.
 */
export type CatalogLine =
  | ({ name: string } & (
      | { state: 'missing' }
      | { state: 'next' }
      | { state: 'building'; step?: string }
      /** `isWhole`: no step was cached, so that the time is that of a whole build. */
      | { state: 'ready'; seconds: number; wasThere: boolean; isWhole: boolean }
      | { state: 'failed'; reason: string }
    ))
  /** Sent once the existing templates are known. */
  | { state: 'planned' }

/** A template to build, and the tag of its build. */
interface Plan {
  name: string
  entry: CatalogTemplate
  tag: string
}

const report = (line: CatalogLine): void => void process.stdout.write(`${JSON.stringify(line)}\n`)
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

const baseBuildId = await newestBuildOf('base')
const missing: Plan[] = []
for (const name of process.argv.slice(2)) await trying(name, () => look(name))
report({ state: 'planned' })
for (const plan of missing) {
  report({ name: plan.name, state: 'next' })
  const { value } = await answers.next()
  // one retry, as a registry may not have answered; finished steps are not run again
  if (value === 'build') await trying(plan.name, () => build(plan).catch(() => build(plan)))
}
process.stdin.destroy()

async function trying(name: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    report({ name, state: 'failed', reason: (error as Error).message })
    process.exitCode = 1
  }
}

async function look(name: string): Promise<void> {
  const { default: entry } = (await import(`./${name}/template.ts`)) as { default: CatalogTemplate }
  const { template, cpuCount, memoryMB } = entry
  // every change of the base (its image, envd, runsc) changes the build of the base
  const content = JSON.stringify([await Template.toJSON(template), cpuCount, memoryMB, baseBuildId])
  const tag = CONTENT_TAG + createHash('sha256').update(content).digest('hex').slice(0, 16)
  if (await Template.exists(`${name}:${tag}`))
    return report({ name, state: 'ready', seconds: 0, wasThere: true, isWhole: false })
  report({ name, state: 'missing' })
  missing.push({ name, entry, tag })
}

async function build({ name, entry, tag }: Plan): Promise<void> {
  const started = performance.now()
  const { template, cpuCount, memoryMB } = entry
  let isWhole = true
  report({ name, state: 'building' })
  await Template.build(template, name, {
    cpuCount,
    memoryMB,
    tags: ['default', tag],
    onBuildLogs: ({ message }) => {
      isWhole &&= !message.startsWith('CACHED')
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
  const seconds = Math.round((performance.now() - started) / 1000)
  report({ name, state: 'ready', seconds, wasThere: false, isWhole })
}

/** Uses the API, because the SDK only lists builds of the caller's own templates. */
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
