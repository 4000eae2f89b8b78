/** The shell did not find the command, so a retry cannot help. */
const NOT_FOUND = 127
/** An error that stays unchanged for this long is final. */
const SAME_ERROR_MS = 60_000
/** Messages about a service that has not started yet, which are expected while the start command runs. */
const NOT_UP_YET = /connect|refused|timed out|unreachable|reset by peer/i

export interface FailedTry {
  exitCode: number
  /** The last lines of its output. */
  output: string
  /** The last lines of its standard error. */
  errors: string
  /** Whether the start command is still running. */
  isStarting: boolean
}

/** Decides from the failures of a ready command whether it can still succeed. */
export class ReadyTries {
  readonly #command: string
  readonly #now: () => number
  #last: string | undefined
  #sinceMs = 0

  constructor(command: string, now: () => number = () => performance.now()) {
    this.#command = command
    this.#now = now
  }

  /** @returns why the command cannot succeed, with its output; undefined when it may be retried */
  verdictOn({ exitCode, output, errors, isStarting }: FailedTry): string | undefined {
    const subject = `ready command '${this.#command}' cannot succeed`
    if (exitCode === NOT_FOUND) return `${subject}: exit status ${exitCode}${output && `\n${output}`}`
    // a command that prints no error is only waiting
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

/** Removes numbers, so that messages with different times and process ids are equal. */
const withoutNumbers = (text: string): string => text.replaceAll(/\d+/g, '#')
