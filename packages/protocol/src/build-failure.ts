import { SandlotError } from './errors.ts'

/** Why a template could not be built, and where: clients lead their users to the line of that step. */
export class BuildFailure extends SandlotError {
  /** `base` (what it starts from), `finalize` (start and ready command), or the number of the step from 1. */
  readonly step: string

  constructor(step: string, message: string, options: { cause?: unknown } = {}) {
    super('build_failed', message, options)
    this.name = 'BuildFailure'
    this.step = step
  }
}
