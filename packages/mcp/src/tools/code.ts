import { z } from 'zod'
import { CodeOutput } from '../code/collect.ts'
import { execute } from '../code/interpreter.ts'
import { callSeconds, defineTool, sandboxId } from './tool.ts'

const SHOWN_BYTES = 16_000
/** Output beyond which the code is interrupted. */
const MAX_OUTPUT_BYTES = 4 * 1024 * 1024

export const runCode = defineTool({
  name: 'run_code',
  title: 'Run code in a sandbox',
  description: `
Runs code in the notebook of a sandbox that was created with the template 'code-interpreter-v1', and returns what it printed, its results and its charts as pictures. Variables, imports and functions stay for the next call with the same language, as in a notebook.

Use it for data analysis, calculations and plots: the value of the last expression is a result; matplotlib, seaborn, plotly, PIL and pandas results are returned as pictures, tables and text. Languages: python (default), javascript, typescript, r, java, bash. Install packages with run_command ('pip install …').

The answer has stdout, stderr, results (each with its formats; 'picture' is the number of its picture in this answer), error (name, value and traceback when the code raised), notes (what was left out) and ended: 'done', 'timeout' (interrupted after timeout_seconds; variables stay) or 'too_much_output' (interrupted after 4 MiB; write to a file instead).

An exception in the code is no error of this tool: read 'error'. Errors: no interpreter in this sandbox (use another template, or run_command). Cancelling the call interrupts the code.`,
  hints: { destructive: true, openWorld: true },
  input: {
    sandbox_id: sandboxId,
    code: z.string().min(1).max(1_000_000).describe('Code, at most 1,000,000 characters.'),
    language: z
      .string()
      .max(32)
      .default('python')
      .describe("'python' (default), 'javascript', 'typescript', 'r', 'java' or 'bash'."),
    timeout_seconds: callSeconds(60),
  },
  output: {
    ended: z.enum(['done', 'timeout', 'too_much_output']),
    stdout: z.string(),
    stderr: z.string(),
    results: z.array(z.record(z.string(), z.unknown())),
    error: z.object({ name: z.string(), value: z.string(), traceback: z.string() }).optional(),
    notes: z.array(z.string()).optional(),
  },
  async run({ sandbox_id, code, language, timeout_seconds }, { connection, signal, progress }) {
    const sandbox = await connection.open(sandbox_id, signal, timeout_seconds * 1000)
    const output = new CodeOutput(SHOWN_BYTES)
    const timeout = AbortSignal.timeout(timeout_seconds * 1000)
    const either = AbortSignal.any([signal, timeout])
    let ended: 'done' | 'timeout' | 'too_much_output' = 'done'
    try {
      for await (const event of execute(connection, sandbox, { code, language }, either)) {
        output.add(event)
        if ('text' in event) progress(String(event.text))
        if (output.stdout.sizeBytes + output.stderr.sizeBytes <= MAX_OUTPUT_BYTES) continue
        ended = 'too_much_output'
        break
      }
    } catch (error) {
      signal.throwIfAborted()
      if (!timeout.aborted) throw error
      ended = 'timeout'
    }
    return {
      result: {
        ended,
        stdout: output.text('stdout'),
        stderr: output.text('stderr'),
        results: output.results,
        ...(output.error && { error: output.error }),
        ...(output.notes.length > 0 && { notes: output.notes }),
      },
      pictures: output.pictures,
    }
  },
})
