import { z } from 'zod'
import { CommandRun } from '../output/command-run.ts'
import type { Sandbox } from '../sdk.ts'
import { callSeconds, defineTool, sandboxId } from './tool.ts'

const DEFAULT_SHOWN_BYTES = 16_000
const MAX_SHOWN_BYTES = 200_000

const input = {
  sandbox_id: sandboxId,
  command: z
    .string()
    .min(1)
    .max(100_000)
    .describe('Command line for bash; may have several lines, pipes and redirections.'),
  cwd: z
    .string()
    .max(4096)
    .optional()
    .describe("Working directory. Default the template's, else the home of the user."),
  user: z
    .string()
    .max(64)
    .optional()
    .describe("User in the sandbox, for example 'root'. Default the template's user."),
  envs: z
    .record(z.string().max(256), z.string().max(32_768))
    .optional()
    .describe('More environment variables. Default none.'),
  timeout_seconds: callSeconds(60).describe(
    'Longest run time in seconds, 1 to 3600. Default 60. Has no effect with background: true.',
  ),
  background: z
    .boolean()
    .default(false)
    .describe('true: start the command, and return at once while it runs. Default false.'),
  max_output_bytes: z
    .number()
    .int()
    .min(1000)
    .max(MAX_SHOWN_BYTES)
    .default(DEFAULT_SHOWN_BYTES)
    .describe(
      `Bytes of stdout and of stderr to return, 1000 to ${MAX_SHOWN_BYTES}. Default ${DEFAULT_SHOWN_BYTES}.`,
    ),
}

export const runCommand = defineTool({
  name: 'run_command',
  title: 'Run a command in a sandbox',
  description: `
Runs a command line in the bash of a sandbox and returns exit code, stdout and stderr. Each call is a new shell: the directory and variables of a shell do not last, files and running programs do. A paused sandbox is resumed.

Use it for everything a shell can do: install packages, run tests, search files, use git. There is no terminal and no input: pass -y and the like. For a server or another long job use background: true; it returns pid and log_file (its output; read_file reads it), and run_command with 'kill -- -<pid>' ends it.

Long output: the first quarter and the end of max_output_bytes are returned with a marker between them that says how much was left out; output_file in the sandbox then has all of it (at most 4 MiB). A command that writes more than 8 MiB is killed (ended: 'too_much_output'): redirect its output to a file instead.

An exit code other than 0 is no error of this tool: read stderr. ended: 'timeout' means that the command was killed after timeout_seconds, with its output until then: give it more time or run it in the background. Cancelling the call kills the command with its children.`,
  hints: { destructive: true, openWorld: true },
  input,
  output: {
    exit_code: z
      .number()
      .nullable()
      .describe('null: the command still runs (background), or was killed by a limit.'),
    ended: z.enum(['exit', 'timeout', 'too_much_output', 'still_running']),
    stdout: z.string(),
    stderr: z.string(),
    stdout_bytes: z.number().describe('Size of the whole stdout.'),
    stderr_bytes: z.number(),
    output_file: z
      .string()
      .optional()
      .describe('File in the sandbox with the whole output; there when a part was left out here.'),
    pid: z.number().optional().describe('Process id of a background command.'),
    log_file: z
      .string()
      .optional()
      .describe('File in the sandbox to which a background command writes stdout and stderr.'),
  },
  async run(request, { connection, signal, progress }) {
    const timeoutMs = request.timeout_seconds * 1000
    const sandbox = await connection.open(request.sandbox_id, signal, request.background ? 0 : timeoutMs)
    if (request.background) return await startInBackground(sandbox, request, signal)
    const { command, cwd, user, envs, max_output_bytes: shownBytes } = request
    const run = new CommandRun(sandbox, { command, cwd, user, envs, timeoutMs, shownBytes }, progress)
    const outcome = await run.run(signal)
    return {
      exit_code: outcome.exitCode,
      ended: outcome.ended,
      stdout: outcome.stdout,
      stderr: outcome.stderr,
      stdout_bytes: outcome.stdoutBytes,
      stderr_bytes: outcome.stderrBytes,
      ...(outcome.outputFile && { output_file: outcome.outputFile }),
    }
  },
})

/** Starts a command whose output goes to a file, so that nobody needs to listen to it. */
async function startInBackground(
  sandbox: Sandbox,
  {
    command,
    cwd,
    user,
    envs,
  }: Pick<z.output<z.ZodObject<typeof input>>, 'command' | 'cwd' | 'user' | 'envs'>,
  signal: AbortSignal,
) {
  signal.throwIfAborted()
  const log_file = `/tmp/command-${crypto.randomUUID().slice(0, 8)}.log`
  const handle = await sandbox.commands.run(`exec >${log_file} 2>&1 </dev/null\n${command}`, {
    background: true,
    timeoutMs: 0,
    ...{ cwd, user, envs },
  })
  await handle.disconnect()
  const nothing = { stdout: '', stderr: '', stdout_bytes: 0, stderr_bytes: 0 }
  return { exit_code: null, ended: 'still_running' as const, ...nothing, pid: handle.pid, log_file }
}
