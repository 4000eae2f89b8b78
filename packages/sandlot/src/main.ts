import { createProgram } from './program.ts'
import { reportError } from './report-error.ts'

// `sandlot config | head` closes the pipe early, which is not a failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})

try {
  await createProgram().parseAsync()
} catch (error) {
  process.stderr.write(`${reportError(error)}\n`)
  // Timers and sockets of a failed start must not keep the process alive.
  process.exit(1)
}
