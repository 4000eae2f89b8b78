import { createProgram } from './program.ts'
import { reportError } from './report-error.ts'

try {
  await createProgram().parseAsync()
} catch (error) {
  process.stderr.write(`${reportError(error)}\n`)
  process.exitCode = 1
}
