import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CatalogEstimate } from '@sandlot/server'
import { repositoryRoot } from '../config.ts'
import { writeAtomically } from '../write-atomically.ts'

/** Estimates measured for this repository: see templates/README.md. */
const RECORDED = join(repositoryRoot, 'templates', 'estimates.json')

/**
 * Factor for steps that are cached for a rebuild: for the whole catalog 1.4 GB beside 9.6 GB of images and checkpoints.
 */
const KEPT_BESIDE = 1.15

type ByName = Record<string, CatalogEstimate>

/** Time and size of catalog builds: those of the last build on this machine, else the recorded ones. */
export class CatalogEstimates {
  readonly #file: string
  readonly #byName: ByName

  /** @param cache folder shared by all instances of this machine */
  constructor(cache: string) {
    this.#file = join(cache, 'catalogue', 'estimates.json')
    this.#byName = { ...read(RECORDED), ...read(this.#file) }
  }

  of = (name: string): CatalogEstimate | undefined => this.#byName[name]

  /** @param finishedBytes size of image and checkpoint */
  measured(name: string, seconds: number, finishedBytes: number): void {
    this.#byName[name] = { seconds, megabytes: Math.ceil((finishedBytes * KEPT_BESIDE) / 2 ** 20) }
    const own = { ...read(this.#file), [name]: this.#byName[name] }
    writeAtomically(this.#file, `${JSON.stringify(own, null, 2)}\n`, 0o600)
  }
}

/** Reads recorded estimates; a missing or malformed file counts as empty. */
function read(file: string): ByName {
  try {
    const content = JSON.parse(readFileSync(file, 'utf8')) as ByName
    const isEstimate = ({ seconds, megabytes }: CatalogEstimate) =>
      Number.isFinite(seconds) && Number.isFinite(megabytes)
    return Object.fromEntries(Object.entries(content).filter(([, estimate]) => isEstimate(estimate)))
  } catch {
    return {}
  }
}
