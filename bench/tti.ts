// Time to interactive: `Sandbox.create()` until `commands.run('node -v')` returned. See README.md.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmdirSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { bareRestoresPerSecond } from './bare-restore.ts'
import {
  addressOf,
  apiHeaders,
  apiUrl,
  checkpointDir,
  createSandbox,
  killAll,
  onExit,
  runOver,
  stockAtRest,
  warmCount,
} from './server.ts'
import { pause, report, round, summarize, timed } from './stats.ts'
import { measureWhileBuilding } from './while-building.ts'

const count = Number(process.argv[process.argv.indexOf('--n') + 1]) || 100
const bursts = process.argv.includes('--bursts-only')
  ? [20, 100]
  : count >= 100
    ? [20, 100]
    : [Math.min(20, count)]
const COMMAND = 'node -v'
const MIN_RESTORES = 10

await onExit()
if (process.argv.includes('--while-building')) {
  await measureWhileBuilding(Math.min(count, 30))
  process.exit(0)
}
const buildDir = checkpointDir()
const image = (JSON.parse(readFileSync(join(buildDir, 'manifest.json'), 'utf8')) as { imagePath: string })
  .imagePath

/** Mounts the sandbox's root file system without gVisor: EROFS from a file (Linux ≥ 6.12) or a loop device. */
const root = mkdtempSync(join(tmpdir(), 'sandlot-bench-'))
const isMounted = [
  ['-t', 'erofs', '-o', 'ro'],
  ['-t', 'erofs', '-o', 'ro,loop'],
].some((options) => spawnSync('mount', [...options, image, root]).status === 0)
const native = (): number => {
  const started = performance.now()
  execFileSync('chroot', [root, '/bin/bash', '-l', '-c', COMMAND], { timeout: 10_000 })
  return performance.now() - started
}

try {
  const keeper = await createSandbox({ timeoutMs: 3_600_000 })
  const direct = `http://${addressOf(keeper.sandboxId)}:49983`
  const token = {
    'x-access-token': String((keeper as unknown as { envdAccessToken: string }).envdAccessToken),
  }
  await runOver(direct, COMMAND, token)

  const measured = {
    tti: [] as number[],
    create: [] as number[],
    run: [] as number[],
    envd: [] as number[],
    native: [] as number[],
    api: [] as number[],
  }
  async function one(): Promise<void> {
    const [sandbox, create] = await timed(() => createSandbox())
    const [, run] = await timed(() => sandbox.commands.run(COMMAND))
    measured.tti.push(create + run)
    measured.create.push(create)
    measured.run.push(run)
    await sandbox.kill()
  }
  const results: Record<string, unknown> = {}
  for (let i = 0; i < 3; i++) await one()
  for (const list of Object.values(measured)) list.length = 0

  for (let i = 0; i < count; i++) {
    await one()
    measured.envd.push((await timed(() => runOver(direct, COMMAND, token)))[1])
    if (isMounted) measured.native.push(native())
    measured.api.push(
      (
        await timed(() =>
          fetch(`${apiUrl}/v2/sandboxes?limit=1`, { headers: apiHeaders }).then((r) => r.arrayBuffer()),
        )
      )[1],
    )
    // lets the warm pool be refilled meanwhile, as it is when a client works with its sandbox
    await pause(250)
  }
  const sequential = Object.fromEntries(
    Object.entries(measured).map(([name, values]) => [name, summarize(values)]),
  )
  for (const [name, summary] of Object.entries(sequential)) results[`sequential ${name} ms`] = summary
  results['TTI p50 / envd of a running sandbox p50'] = round(sequential.tti!.p50 / sequential.envd!.p50)
  if (isMounted) results['TTI p50 / native p50'] = round(sequential.tti!.p50 / sequential.native!.p50)

  const staggered: Promise<number>[] = []
  for (let i = 0; i < count; i++) {
    staggered.push(
      timed(async () => {
        const sandbox = await createSandbox()
        await sandbox.commands.run(COMMAND)
        void sandbox.kill()
      }).then(([, ms]) => ms),
    )
    await pause(200)
  }
  results['one every 200 ms: TTI ms'] = summarize(await Promise.all(staggered))

  const restoresPerSecond = new Map<number, number>()
  for (const size of bursts) {
    await stockAtRest()
    const stock = warmCount()
    const started = performance.now()
    const creates: number[] = []
    const ttis = await Promise.all(
      Array.from({ length: size }, async () => {
        const sandbox = await createSandbox()
        creates.push(performance.now() - started)
        await sandbox.commands.run(COMMAND)
        return performance.now() - started
      }),
    )
    results[`burst of ${size}: create ms`] = summarize(creates)
    results[`burst of ${size}: TTI ms`] = summarize(ttis)
    results[`burst of ${size}: warm at its start`] = stock
    results[`burst of ${size}: creates a second`] = round((size / Math.max(...creates)) * 1000)
    // only creates beyond the warm machines show how fast the server restores
    if (size - stock >= MIN_RESTORES)
      restoresPerSecond.set(size, ((size - stock) / Math.max(...creates)) * 1000)
    await killAll()
    await pause(3_000)
  }
  await killAll()
  await stockAtRest()
  const bare = await bareRestoresPerSecond(buildDir, 20, availableParallelism())
  results['bare runsc restores a second, same concurrency'] = round(bare)
  for (const [size, perSecond] of restoresPerSecond)
    results[`burst of ${size}: restores a second, ratio to bare`] = [
      round(perSecond),
      round(perSecond / bare),
    ]
  report('tti', results)
} finally {
  await killAll()
  if (isMounted) spawnSync('umount', [root])
  rmdirSync(root)
}
process.exit(0)
