import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { SandlotError } from '@sandlot/protocol'
import type { CatalogProgress } from '@sandlot/server'
import type { Logger } from 'pino'
import type { CatalogReport } from '../../../templates/build.ts'
import { catalogNames } from '../../../templates/names.ts'
import { repositoryRoot } from './config.ts'
import { nearest } from './nearest.ts'

const SCRIPT = join(repositoryRoot, 'templates', 'build.ts')
/** Sandboxes come first. */
const NICE = '10'
const STDERR_BYTES = 4096

export interface CatalogBuild {
  /** What clients of this server need; the key is the catalogue's. */
  env: Record<string, string>
  names: string[]
  progress: CatalogProgress
  logger: Logger
}

/** Names that the setting `catalog` means. @throws SandlotError invalid_request */
export function catalogOf(setting: readonly string[]): string[] {
  if (setting.includes('none')) return []
  if (setting.includes('all')) return catalogNames.filter((name) => existsSync(templateFile(name)))
  for (const name of setting)
    if (!(catalogNames as readonly string[]).includes(name)) {
      const guess = nearest(name, catalogNames)
      throw new SandlotError(
        'invalid_request',
        `setting catalog names '${name}', which the catalogue does not have${guess ? `: did you mean '${guess}'?` : `: there is ${catalogNames.join(', ')}, all and none`}`,
      )
    }
  return [...setting]
}

const templateFile = (name: string): string => join(repositoryRoot, 'templates', name, 'template.ts')

/** Builds what is missing of the catalogue, in a process of its own. @returns a function that ends it */
export function buildCatalog({ env, names, progress, logger }: CatalogBuild): () => void {
  if (names.length === 0) return () => {}
  for (const name of names) progress.set(name, { state: 'waiting' })
  const args = [
    ...['-n', NICE, process.execPath, '--disable-warning=ExperimentalWarning'],
    ...['--conditions=sandlot-source', SCRIPT, ...names],
  ]
  const child = spawn('nice', args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  let complaint = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-STDERR_BYTES)
  })
  let readyCount = 0
  const startedMs = new Map<string, number>()
  createInterface({ input: child.stdout }).on('line', (line) => {
    const report = JSON.parse(line) as CatalogReport
    const { name } = report
    if (report.state === 'building') {
      if (!startedMs.has(name)) logger.info({ template: name }, 'building a template of the catalogue')
      startedMs.set(name, startedMs.get(name) ?? Date.now())
      progress.set(name, { state: 'building', sinceMs: startedMs.get(name)!, step: report.step })
    } else if (report.state === 'ready') {
      readyCount++
      progress.ready(name)
      const { seconds, wasThere } = report
      logger.info(
        { template: name, seconds, ready: `${readyCount} of ${names.length}` },
        wasThere ? 'a template of the catalogue is there' : 'built a template of the catalogue',
      )
    } else {
      progress.set(name, { state: 'failed', reason: report.reason })
      logger.warn({ template: name, reason: report.reason }, 'a template of the catalogue could not be built')
    }
  })
  child.once('error', (err) => logger.warn({ err }, 'the catalogue could not be built'))
  child.once('close', (code, signal) => {
    // reports told of builds that failed; a script that broke tells here
    if (code !== 0 && signal === null && complaint !== '')
      logger.warn({ code, complaint }, 'building the catalogue broke off')
  })
  return () => void child.kill('SIGKILL')
}
