import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { SandlotError } from '@sandlot/protocol'
import type { CatalogControl, CatalogProgress } from '@sandlot/server'
import type { Logger } from 'pino'
import type { CatalogLine } from '../../../../templates/build.ts'
import { repositoryRoot } from '../config.ts'
import { inMBOrGB } from './describe.ts'
import type { CatalogEstimates } from './estimates.ts'
import { checkCatalogName } from './names.ts'
import type { RemovedTemplates } from './removed-templates.ts'

const SCRIPT = join(repositoryRoot, 'templates', 'build.ts')
/** Niceness of builds, so that sandboxes have priority. */
const NICE = '10'
const STDERR_BYTES = 4096

export interface CatalogBuilderOptions {
  removed: RemovedTemplates
  estimates: CatalogEstimates
  /** Disk space that the catalog may still use. */
  roomBytes: () => number
  /** Size of a finished template, image and checkpoint. */
  sizeBytes: (name: string) => Promise<number>
  logger: Logger
  /** Script to run with the names as arguments. Default: templates/build.ts. */
  script?: string
}

export interface CatalogServer {
  /** Environment for clients of the server, with the API key of the catalog. */
  env: Record<string, string>
  progress: CatalogProgress
}

/** Templates that one process builds, one after the other. */
interface Run {
  names: string[]
  /** Whether an administrator requested them, so that they are built even when there is little room. */
  isAsked: boolean
}

/** Builds missing templates of the catalog, one at a time, in child processes. */
export class CatalogBuilder implements CatalogControl {
  readonly #options: CatalogBuilderOptions
  #server: CatalogServer | undefined
  readonly #waiting: Run[] = []
  #run: { of: Run; child: ChildProcess; building?: { name: string; sinceMs: number } } | undefined
  #isClosed = false

  constructor(options: CatalogBuilderOptions) {
    this.#options = options
  }

  /**
   * Starts building the templates in `names` that are missing and were not removed.
   * @returns resolves when it is known which templates exist
   */
  open(server: CatalogServer, names: readonly string[]): Promise<void> {
    this.#server = server
    const removed = this.#options.removed.all()
    for (const name of removed) server.progress.set(name, { state: 'removed' })
    const wanted = names.filter((name) => !removed.includes(name))
    return wanted.length === 0 ? Promise.resolve() : this.#start({ names: wanted, isAsked: false })
  }

  build(name: string): void {
    checkCatalogName(name, 'there is no template')
    const state = this.#stateOf(name)
    if (state === 'waiting' || state === 'building')
      throw new SandlotError('conflict', `template '${name}' is already being built: see \`sandlot status\``)
    this.#options.removed.delete(name)
    this.#set(name, { state: 'waiting' })
    this.#add({ names: [name], isAsked: true })
  }

  remove(name: string): void {
    checkCatalogName(name, 'there is no template')
    this.#options.removed.add(name)
    for (const { names } of this.#waiting) removeFrom(names, name)
    if (this.#run) {
      removeFrom(this.#run.of.names, name)
      // the other templates of the run are started again without this one
      if (this.#run.building?.name === name) this.#run.child.kill('SIGKILL')
    }
    this.#set(name, { state: 'removed' })
  }

  close(): void {
    this.#isClosed = true
    this.#run?.child.kill('SIGKILL')
  }

  #stateOf = (name: string) =>
    this.#server?.progress.report().templates.find((entry) => entry.name === name)?.state

  #set(name: string, state: Parameters<CatalogProgress['set']>[1]): void {
    this.#server?.progress.set(name, state, this.#options.estimates.of(name))
  }

  #add(run: Run): void {
    if (this.#run) this.#waiting.push(run)
    else void this.#start(run)
  }

  /** @returns resolves when it is known which templates exist */
  #start(run: Run): Promise<void> {
    const { env } = this.#server!
    for (const name of run.names) this.#set(name, { state: 'waiting' })
    const args = [
      ...['-n', NICE, process.execPath, '--disable-warning=ExperimentalWarning'],
      ...['--conditions=sandlot-source', this.#options.script ?? SCRIPT, ...run.names],
    ]
    const child = spawn('nice', args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...env } })
    this.#run = { of: run, child }
    // the process may have ended before the answer arrives
    child.stdin.on('error', () => {})
    let complaint = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-STDERR_BYTES)
    })
    return new Promise((resolve) => {
      createInterface({ input: child.stdout }).on('line', (text) => {
        const line = parseLine(text)
        if (!line)
          this.#options.logger.debug({ text: text.slice(0, STDERR_BYTES) }, 'output of the catalogue build')
        else if (line.state === 'planned') resolve()
        else if (line.state === 'next') child.stdin.write(`${this.#decide(run, line.name)}\n`)
        else this.#take(line)
      })
      child.once('error', (err) => {
        this.#options.logger.warn({ err }, 'the catalogue could not be built')
        resolve()
      })
      child.once('close', (code, signal) => {
        // failed builds were reported line by line; a script that crashed is reported here
        if (code !== 0 && signal === null && complaint !== '')
          this.#options.logger.warn({ code, complaint }, 'the build process of the catalogue crashed')
        resolve()
        this.#ended(run, signal === null ? complaint : 'its process was ended')
      })
    })
  }

  /** Starts another process for templates that an ended process did not reach, or marks them as failed. */
  #ended(run: Run, reason: string): void {
    const wasKilled = this.#run?.child.signalCode != null
    this.#run = undefined
    if (this.#isClosed) return
    const left = run.names.filter((name) => ['waiting', 'building'].includes(this.#stateOf(name) ?? ''))
    if (wasKilled && left.length > 0) this.#waiting.unshift({ ...run, names: left })
    else
      for (const name of left) this.#set(name, { state: 'failed', reason: reason || 'its build ended early' })
    const next = this.#waiting.shift()
    if (next && next.names.length > 0) void this.#start(next)
    else if (next) this.#ended(next, '')
  }

  /** Whether a missing template may be built now. */
  #decide({ names, isAsked }: Run, name: string): 'build' | 'leave' {
    const { estimates, roomBytes, logger } = this.#options
    if (!names.includes(name)) return 'leave'
    // during the build the last step and the image made from it exist at the same time
    const neededBytes = 2 * (estimates.of(name)?.megabytes ?? 0) * 2 ** 20
    const room = roomBytes()
    if (isAsked || room >= neededBytes) {
      this.#run!.building = { name, sinceMs: Date.now() }
      return 'build'
    }
    const reason = `it needs about ${inWords(neededBytes)}, and the disk has ${inWords(Math.max(0, room))} above the floor for the catalogue (setting 'catalogFloorMB')`
    this.#set(name, { state: 'left-out', reason })
    logger.warn(
      { template: name, reason, command: `sandlot templates build ${name}` },
      'a template of the catalogue was left out',
    )
    return 'leave'
  }

  #take(line: Exclude<CatalogLine, { state: 'planned' | 'next' }>): void {
    const { logger } = this.#options
    const { name } = line
    if (this.#stateOf(name) === 'removed') return
    if (line.state === 'building') {
      if (!line.step) logger.info({ template: name }, 'building a template of the catalogue')
      const sinceMs = this.#run?.building?.sinceMs ?? Date.now()
      this.#set(name, { state: 'building', sinceMs, step: line.step })
    } else if (line.state === 'ready') {
      this.#set(name, { state: 'ready' })
      const { seconds, wasThere, isWhole } = line
      const { readyCount, templates } = this.#server!.progress.report()
      logger.info(
        { template: name, seconds, ready: `${readyCount} of ${templates.length}` },
        wasThere ? 'a template of the catalogue exists already' : 'built a template of the catalogue',
      )
      if (isWhole) this.#measure(name, seconds)
    } else if (line.state === 'failed') {
      this.#set(name, { state: 'failed', reason: line.reason })
      logger.warn({ template: name, reason: line.reason }, 'a template of the catalogue could not be built')
    }
  }

  #measure(name: string, seconds: number): void {
    const { estimates, sizeBytes, logger } = this.#options
    sizeBytes(name)
      .then((bytes) => estimates.measured(name, seconds, bytes))
      .catch((err) => logger.warn({ err, template: name }, 'time and size of a build were not recorded'))
  }
}

/** @returns undefined for a line that the script did not write, e.g. one of a library */
function parseLine(text: string): CatalogLine | undefined {
  try {
    return JSON.parse(text) as CatalogLine
  } catch {
    return undefined
  }
}

function removeFrom(names: string[], name: string): void {
  const index = names.indexOf(name)
  if (index >= 0) names.splice(index, 1)
}

const inWords = (bytes: number): string => inMBOrGB(bytes / 2 ** 20)
