// Work on a volume, beside the same work on the sandbox's own disk and natively on the disk of the volumes. See README.md.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Sandbox, Volume } from 'e2b-official'
import { createSandbox, home, killAll, onExit } from './server.ts'
import { report, round, summarize } from './stats.ts'

const run = promisify(execFile)
const count = Number(process.argv[process.argv.indexOf('--n') + 1]) || 3
/** `--small`: a trial, whose figures say nothing. */
const isSmall = process.argv.includes('--small')
const MB = isSmall ? 64 : 1000
const FILES = isSmall ? 500 : 10_000
const REPOSITORY_FILES = isSmall ? 200 : 2_000
const TIMEOUT_MS = 15 * 60_000
/** With about 70 dependencies. */
const NPM_PACKAGE = 'express@5.1.0'

/** Each runs in an empty folder; $SOURCES has the repository and the npm project. Pages that were read stay in the cache. */
const WORK: Record<string, string> = {
  [`write ${MB} MB and sync`]: `dd if=/dev/zero of=file bs=1M count=${MB} conv=fsync status=none`,
  [`read ${MB} MB`]: 'cat file > /dev/null',
  [`create ${FILES} files`]: `mkdir many && cd many && for i in $(seq ${FILES}); do echo $i > $i; done`,
  [`read ${FILES} files`]: 'cd many && cat $(ls) > /dev/null',
  [`list ${FILES} files`]: 'ls -l many > /dev/null',
  [`remove ${FILES} files`]: 'rm -r many',
  'git clone': 'git clone -q $SOURCES/repository.bundle cloned',
  'git status': 'git -C cloned status --short',
  'npm ci':
    'mkdir npm && cp $SOURCES/package*.json npm && cd npm && npm ci --prefer-offline --no-audit --no-fund --silent',
}
type Kind = keyof typeof WORK
type Place = 'host' | 'sandbox' | 'volume'
type Measured = Record<Kind, Record<Place, number[]>>

/** Prints the milliseconds of each piece of work, a line for each. */
const script = (sources: string, folder: string): string =>
  [
    `set -e; export SOURCES=${sources} GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'`,
    `rm -rf ${folder}; mkdir -p ${folder}`,
    ...Object.values(WORK).map(
      (command) =>
        `cd ${folder}; s=$(date +%s%N); (${command}) 1>&2; e=$(date +%s%N); echo $(( (e - s) / 1000 ))`,
    ),
    `cd /; rm -rf ${folder}`,
  ].join('\n')

/** Makes the repository and the npm project. @returns their files */
async function makeSources(folder: string): Promise<string[]> {
  const repository = join(folder, 'repository')
  const content = 'a line of text that is neither long nor short\n'.repeat(50)
  await run('git', ['init', '-q', repository])
  for (let i = 0; i < REPOSITORY_FILES; i++) writeFileSync(join(repository, `${i}.txt`), `${i}\n${content}`)
  const git = (...args: string[]) =>
    run('git', ['-C', repository, '-c', 'user.name=bench', '-c', 'user.email=bench@localhost', ...args])
  await git('add', '.')
  await git('commit', '-q', '-m', 'all')
  await git('bundle', 'create', join(folder, 'repository.bundle'), 'HEAD')
  rmSync(repository, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{"name":"bench","version":"1.0.0"}')
  await run('npm', ['install', '--package-lock-only', '--silent', NPM_PACKAGE], { cwd: folder })
  return ['repository.bundle', 'package.json', 'package-lock.json']
}

const numbersIn = (output: string): number[] =>
  output
    .trim()
    .split('\n')
    .map((line) => Number(line) / 1000)

async function onHost(sources: string, folder: string): Promise<number[]> {
  const { stdout } = await run('bash', ['-c', script(sources, folder)], { timeout: TIMEOUT_MS })
  return numbersIn(stdout)
}

async function inSandbox(sandbox: Sandbox, folder: string): Promise<number[]> {
  const { stdout } = await sandbox.commands.run(script('/tmp/sources', folder), { timeoutMs: TIMEOUT_MS })
  return numbersIn(stdout)
}

await onExit()
const sources = mkdtempSync(join(tmpdir(), 'sandlot-bench-'))
const hostFolder = mkdtempSync(join(home, 'bench-volumes-'))
const volume = await Volume.create(`bench-${process.pid}`)
try {
  const sandbox = await createSandbox({
    timeoutMs: 3_600_000,
    volumeMounts: { '/mnt/data': volume },
  })
  for (const name of await makeSources(sources)) {
    const { buffer, byteOffset, byteLength } = readFileSync(join(sources, name))
    const bytes = (buffer as ArrayBuffer).slice(byteOffset, byteOffset + byteLength)
    await sandbox.files.write(`/tmp/sources/${name}`, bytes)
  }
  const places: Record<Place, () => Promise<number[]>> = {
    host: () => onHost(sources, join(hostFolder, 'work')),
    sandbox: () => inSandbox(sandbox, '/home/user/work'),
    volume: () => inSandbox(sandbox, '/mnt/data/work'),
  }
  const kinds = Object.keys(WORK)
  const measured = Object.fromEntries(
    kinds.map((kind) => [kind, { host: [], sandbox: [], volume: [] }]),
  ) as unknown as Measured
  // the first round fills the caches of npm
  for (let i = -1; i < count; i++)
    for (const [place, work] of Object.entries(places) as Array<[Place, () => Promise<number[]>]>) {
      const times = await work()
      if (i >= 0) for (const [index, kind] of kinds.entries()) measured[kind]![place].push(times[index]!)
    }
  const results: Record<string, unknown> = {}
  for (const kind of kinds) {
    const { host, sandbox: own, volume: shared } = measured[kind]!
    for (const [place, times] of Object.entries({ host, 'own disk': own, volume: shared }))
      results[`${kind}: ${place} ms`] = summarize(times)
    const p50 = (times: number[]) => summarize(times).p50
    results[`${kind}: volume / own disk`] = round(p50(shared) / p50(own))
    results[`${kind}: volume / host`] = round(p50(shared) / p50(host))
  }
  report(isSmall ? 'volumes (a trial with small sizes)' : 'volumes', results)
} finally {
  await killAll()
  rmSync(sources, { recursive: true, force: true })
  rmSync(hostFolder, { recursive: true, force: true })
  await Volume.destroy(volume.volumeId)
}
