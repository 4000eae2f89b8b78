import { SandlotError } from './errors.ts'

/** Why a template build failed, and at which step, so that clients can show the source line of that step. */
export class BuildFailure extends SandlotError {
  /** `base` (base image or template), `finalize` (start and ready command), or the number of the step, from 1. */
  readonly step: string

  constructor(step: string, message: string, options: { cause?: unknown } = {}) {
    super('build_failed', message, options)
    this.name = 'BuildFailure'
    this.step = step
  }
}
