import { CommanderError } from 'commander'
import { describeFailure, exitCodeOf } from './failure.ts'
import { createProgram } from './program.ts'

/** Runs one command line and leaves its exit code in `process.exitCode`. */
export async function run(words: string[]): Promise<void> {
  endQuietlyWhenNobodyReads()
  try {
    const program = await createProgram(words)
    await program.parseAsync(words, { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) {
      // commander has already reported the mistake, or printed the help.
      process.exitCode = error.exitCode
      return
    }
    process.stderr.write(`${describeFailure(error)}\n`)
    // Sockets and timers of a failed command must not keep the process alive.
    process.exit(exitCodeOf(error))
  }
}

/** `e2b sandbox list | head -1` closes the pipe early, which is not a failure. */
function endQuietlyWhenNobodyReads(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      // After the terminal hung up (EIO) the command still cleans up before it ends.
      if (error.code === 'EIO') return
      if (error.code !== 'EPIPE') throw error
      process.exit()
    })
  }
}
