// Part of tti.ts: time to interactive while templates of the catalogue are built. See README.md.
import { Template } from 'e2b'
import type { CatalogTemplate } from '../templates/catalog-template.ts'
import { apiHeaders, apiUrl, createSandbox, killAll, stockAtRest } from './server.ts'
import { pause, report, round, summarize, timed } from './stats.ts'

/** A coding agent from npm, one with a package of 300 MB, and a desktop from Debian with a start command. */
const DEFAULT_TEMPLATES = ['claude', 'opencode', 'desktop']
const NAME = `bench-${process.pid}`
const COMMAND = 'node -v'
const BETWEEN_MS = 250
/** Time after a build that is measured too, because the results are sealed and packed in the background. */
const PACKING_MS = 10_000
/** Time after which the machine is quiet again. */
const REST_MS = 20_000

const PARTS = ['tti', 'create', 'run', 'api'] as const
type Times = Record<(typeof PARTS)[number], number[]>

const newTimes = (): Times => ({ tti: [], create: [], run: [], api: [] })

async function one(times: Times): Promise<void> {
  const [sandbox, create] = await timed(() => createSandbox())
  const [, run] = await timed(() => sandbox.commands.run(COMMAND))
  times.tti.push(create + run)
  times.create.push(create)
  times.run.push(run)
  await sandbox.kill()
  // shows whether the event loop is blocked
  const ask = () =>
    fetch(`${apiUrl}/v2/sandboxes?limit=1`, { headers: apiHeaders }).then((r) => r.arrayBuffer())
  times.api.push((await timed(ask))[1])
  await pause(BETWEEN_MS)
}

/** Builds a template without reusing steps of an earlier build. */
async function build(name: string): Promise<void> {
  const { default: entry } = (await import(`../templates/${name}/template.ts`)) as {
    default: CatalogTemplate
  }
  const { template, cpuCount, memoryMB } = entry
  await Template.build(template, NAME, { cpuCount, memoryMB, skipCache: true })
}

/** Measures alternately without and during a build, once for each template. @param count TTIs of each quiet turn */
export async function measureWhileBuilding(count: number): Promise<void> {
  const option = process.argv.indexOf('--templates')
  const templates = option < 0 ? DEFAULT_TEMPLATES : process.argv[option + 1]!.split(',')
  const results: Record<string, unknown> = {}
  const quiet = newTimes()
  const building = newTimes()
  try {
    await stockAtRest()
    for (let i = 0; i < 3; i++) await one(newTimes())
    for (const name of templates) {
      for (let i = 0; i < count; i++) await one(quiet)
      const ofThis = newTimes()
      let isOver = false
      const [ended] = await Promise.all([
        timed(() => build(name)).finally(async () => {
          await pause(PACKING_MS)
          isOver = true
        }),
        (async () => {
          while (!isOver) await one(ofThis)
        })(),
      ])
      results[`build of ${name} s`] = round(ended[1] / 1000)
      results[`while ${name} is built: TTI ms`] = summarize(ofThis.tti)
      for (const part of PARTS) building[part].push(...ofThis[part])
      await pause(REST_MS)
      await stockAtRest()
    }
    for (let i = 0; i < count; i++) await one(quiet)
    for (const part of PARTS) {
      results[`quiet: ${part} ms`] = summarize(quiet[part])
      results[`building: ${part} ms`] = summarize(building[part])
    }
    const ratio = (at: 'p50' | 'p95') => round(summarize(building.tti)[at] / summarize(quiet.tti)[at])
    results['TTI p50 building / quiet'] = ratio('p50')
    results['TTI p95 building / quiet'] = ratio('p95')
    report('tti-while-building', results)
  } finally {
    await killAll()
    await fetch(`${apiUrl}/templates/${NAME}`, { method: 'DELETE', headers: apiHeaders })
  }
}
