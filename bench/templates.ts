// Builds: cold, cached, with a changed last step; an image pulled and packed; time until a new template is warm. See
// README.md.
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Template } from 'e2b-official'
import { ensureCrane } from '../tests/registry/crane.ts'
import { registryPorts } from '../tests/registry/ports.ts'
import { type Registry, startRegistry } from '../tests/registry/registry.ts'
import { makeRootfs, tarOf } from '../tests/registry/rootfs.ts'
import { apiHeaders, apiUrl, createSandbox, killAll, onExit, stockAtRest } from './server.ts'
import { report, round, summarize, timed } from './stats.ts'

const count = Number(process.argv[process.argv.indexOf('--n') + 1]) || 5
const NAME = `bench-${process.pid}`
const IMAGE_MB = 400
/** Files of a size that is typical of images. */
const FILE_KB = 256
const WARM_WITHIN_MS = 60_000
const run = promisify(execFile)

const template = (last: string) =>
  Template()
    .fromBaseImage()
    .setWorkdir('/home/user/app')
    .runCmd('echo one > one')
    .runCmd('head -c 10M /dev/urandom > two')
    .runCmd(`python3 -m venv venv`)
    .runCmd(`echo ${last} > last`)
const build = async (last: string, skipCache = false): Promise<number> =>
  (await timed(() => Template.build(template(last), NAME, { skipCache })))[1]

async function builds(results: Record<string, unknown>): Promise<void> {
  const cold: number[] = []
  const cached: number[] = []
  const changed: number[] = []
  for (let i = 0; i < count; i++) {
    cold.push(await build('same', true))
    cached.push(await build('same'))
    changed.push(await build(`other-${i}`))
    cached.push(await build('same'))
  }
  results['cold build of five steps ms'] = summarize(cold)
  results['the same, cached ms'] = summarize(cached)
  results['one changed last step ms'] = summarize(changed)
  results['cached p50 / cold p50'] = round(summarize(cached).p50 / summarize(cold).p50)
  results['changed p50 / cold p50'] = round(summarize(changed).p50 / summarize(cold).p50)
}

/** Time from the return of `build()` until a create takes no longer than three creates of the base. */
async function untilWarm(results: Record<string, unknown>): Promise<void> {
  const create = async (name: string): Promise<number> => {
    const [sandbox, ms] = await timed(() => createSandbox({ template: name } as never))
    await sandbox.kill()
    return ms
  }
  await stockAtRest()
  const base = summarize([await create('base'), await create('base'), await create('base')]).p50
  const times: number[] = []
  for (let i = 0; i < count; i++) {
    await build(`warm-${i}`)
    const built = performance.now()
    while ((await create(NAME)) > base * 3)
      if (performance.now() - built > WARM_WITHIN_MS) throw new Error('a new template did not become warm')
    times.push(performance.now() - built)
  }
  results['create from base ms'] = base
  results['from build() done to a warm create ms'] = summarize(times)
}

async function pull(registry: Registry, scratch: string, results: Record<string, unknown>): Promise<void> {
  const root = makeRootfs()
  const folder = join(root, 'data', 'much')
  mkdirSync(folder)
  for (let i = 0; i < (IMAGE_MB * 1024) / FILE_KB; i++)
    writeFileSync(join(folder, String(i)), randomBytes(FILE_KB * 1024))
  const layer = tarOf(root, join(scratch, 'layer.tar'))
  const crane = await ensureCrane(process.env.SANDLOT_CACHE ?? '/var/cache/sandlot')
  const ours: number[] = []
  const plain: number[] = []
  for (let i = 0; i < count; i++) {
    // another manifest with an equal layer, so that the image was not pulled before
    await registry.push(`bench/image:${i}`, [layer], ['--label', `round=${NAME}-${i}`])
    const image = `${registry.host}/bench/image:${i}`
    const target = join(scratch, `export-${i}`)
    mkdirSync(target)
    const script = '"$1" export "$2" - | tar -x -C "$3" && sync -f "$3"'
    plain.push((await timed(() => run('bash', ['-c', script, 'bash', crane, image, target])))[1])
    rmSync(target, { recursive: true })
    ours.push(await untilPulled(image))
  }
  results[`pull and pack an image of ${IMAGE_MB} MB ms`] = summarize(ours)
  results['crane export | tar -x ms'] = summarize(plain)
  results['pull and pack p50 / export p50'] = round(summarize(ours).p50 / summarize(plain).p50)
}

/** Time from the first line of a build's log to the line that reports the image. */
async function untilPulled(image: string): Promise<number> {
  let first: number | undefined
  let pulled: number | undefined
  const onBuildLogs = ({ timestamp, message }: { timestamp: Date; message: string }) => {
    first ??= timestamp.getTime()
    if (message.startsWith('[base] FROM')) pulled = timestamp.getTime()
  }
  await Template.build(Template().fromImage(image), NAME, { onBuildLogs })
  return pulled! - first!
}

await onExit()
const results: Record<string, unknown> = {}
const scratch = mkdtempSync(join(tmpdir(), 'sandlot-bench-'))
const registry = await startRegistry(registryPorts('bench'))
try {
  await builds(results)
  await untilWarm(results)
  await pull(registry, scratch, results)
  report('templates', results)
} finally {
  await killAll()
  await fetch(`${apiUrl}/templates/${NAME}`, { method: 'DELETE', headers: apiHeaders })
  await registry.stop()
  if (existsSync(scratch)) rmSync(scratch, { recursive: true })
}
