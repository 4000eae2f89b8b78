import { SandboxError } from '../errors.ts'

declare const __brand: unique symbol
type Branded<T, B> = T & { [__brand]: B }

/** A piece of standard output. */
export type Stdout = Branded<string, 'stdout'>
/** A piece of standard error. */
export type Stderr = Branded<string, 'stderr'>
/** A piece of a terminal's output, escape sequences included. */
export type PtyOutput = Branded<Uint8Array, 'pty'>

/** Result of a command that has ended. */
export interface CommandResult {
  /** 0 when it succeeded, -1 when a signal ended it. */
  exitCode: number
  /** Reason of a failure as reported by envd, for example `exit status 1` or `signal: killed`. */
  error?: string
  /** Everything that the command wrote to standard output. */
  stdout: string
  /** Everything that the command wrote to standard error. */
  stderr: string
}

/**
 * A command ended with an exit code other than 0.
 *
 * @example
 * ```ts
 * try {
 *   await sandbox.commands.run('ls /nowhere')
 * } catch (error) {
 *   if (error instanceof CommandExitError) console.error(error.exitCode, error.stderr)
 * }
 * ```
 */
export class CommandExitError extends SandboxError implements CommandResult {
  private readonly result: CommandResult

  constructor(result: CommandResult) {
    super(result.error)
    this.name = 'CommandExitError'
    this.result = result
  }

  get exitCode(): number {
    return this.result.exitCode
  }

  get error(): string | undefined {
    return this.result.error
  }

  get stdout(): string {
    return this.result.stdout
  }

  get stderr(): string {
    return this.result.stderr
  }
}
