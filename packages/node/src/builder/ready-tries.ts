/** The shell did not find the command: it is not there later either. */
const NOT_FOUND = 127
/** What is no better after so long stays as it is. */
const SAME_ERROR_MS = 60_000
/** What one says that asks a service which is not up yet: no error while the start command runs. */
const NOT_UP_YET = /connect|refused|timed out|unreachable|reset by peer/i

export interface FailedTry {
  exitCode: number
  /** The last lines of its output; of standard error alone in `errors`. */
  output: string
  errors: string
  /** The start command has not ended. */
  isStarting: boolean
}

/** Tells from how a ready command failed whether it can still succeed. */
export class ReadyTries {
  readonly #command: string
  readonly #now: () => number
  #last: string | undefined
  #sinceMs = 0

  constructor(command: string, now: () => number = () => performance.now()) {
    this.#command = command
    this.#now = now
  }

  /** @returns why it cannot succeed, in its own words; undefined: it may be tried again */
  verdictOn({ exitCode, output, errors, isStarting }: FailedTry): string | undefined {
    const subject = `ready command '${this.#command}' cannot succeed`
    if (exitCode === NOT_FOUND) return `${subject}: exit status ${exitCode}${output && `\n${output}`}`
    // whoever has nothing to say only waits
    const isError = errors !== '' && !(isStarting && NOT_UP_YET.test(errors))
    const error = isError ? `${exitCode} ${withoutNumbers(errors)}` : undefined
    if (error === undefined || error !== this.#last) {
      this.#last = error
      this.#sinceMs = this.#now()
      return undefined
    }
    const forMs = this.#now() - this.#sinceMs
    if (forMs < SAME_ERROR_MS) return undefined
    return `${subject}: for ${Math.round(forMs / 1000)} s it has ended with exit status ${exitCode} and the same error\n${output}`
  }
}

/** Times and process ids differ each time. */
const withoutNumbers = (text: string): string => text.replaceAll(/\d+/g, '#')
