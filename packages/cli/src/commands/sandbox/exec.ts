import { fstatSync } from 'node:fs'
import { Command, Option } from 'commander'
import type { CommandHandle, Sandbox } from 'e2b'
import { sandboxIdArgument } from '../../options/sandbox-id.ts'
import { addSessionOptions, type SessionFlags } from '../../options/session.ts'
import { note, print } from '../../output/out.ts'

export const exec = (): Command =>
  addSessionOptions(
    new Command('exec')
      .description('execute a command in a running sandbox')
      .addArgument(sandboxIdArgument('sandbox ID to execute command in'))
      .argument('<command...>', 'command to execute')
      // All words after the sandbox belong to the command, also --help.
      .passThroughOptions()
      .addOption(new Option('-b, --background', 'run in background, print the process ID and return')),
    'the command',
  )
    .addHelpText(
      'after',
      `
Options of e2b come before the sandbox ID; all words after the ID belong to the command. A single word is run
as a command line by the shell in the sandbox. Piped input is sent to the command, and the exit code is the
command's.

Examples:
  e2b sandbox exec i0lf5glwo7abo25de80rz 'ls -la | wc -l'
  e2b sandbox exec -u root i0lf5glwo7abo25de80rz apt-get install -y jq
  cat data.csv | e2b sandbox exec i0lf5glwo7abo25de80rz python3 analyse.py > report.txt`,
    )
    .action(run)

interface Flags extends SessionFlags {
  background?: boolean
}

async function run(sandboxId: string, words: string[], flags: Flags): Promise<void> {
  const { connect } = await import('../../account/connection.ts')
  const { orMissing } = await import('../../account/missing.ts')
  const { commandLine } = await import('../../exec/command-line.ts')
  const { sdk, opts } = await connect()
  const sandbox = await orMissing(sandboxId, sdk.Sandbox.connect(sandboxId, opts))
  const hasInput = !flags.background && isPiped()
  const handle = await sandbox.commands.run(commandLine(words), {
    background: true,
    // No timeout for the command, which may run as long as the sandbox.
    timeoutMs: 0,
    stdin: hasInput,
    envs: flags.env,
    ...(flags.user && { user: flags.user }),
    ...(flags.cwd && { cwd: flags.cwd }),
    ...(!flags.background && {
      onBytes: (data: Uint8Array, from: 'stdout' | 'stderr') => write(process[from], data),
    }),
  })
  if (flags.background) {
    await handle.disconnect()
    await print(String(handle.pid))
  } else process.exitCode = await follow(sandbox, handle, hasInput, flags.user)
  // Open standard input must not keep the process alive.
  process.exit()
}

async function follow(
  sandbox: Sandbox,
  handle: CommandHandle,
  hasInput: boolean,
  user?: string,
): Promise<number> {
  const { pumpStdin } = await import('../../exec/stdin-pump.ts')
  const { forwardSignals } = await import('../../exec/forward-signals.ts')
  const stopForwarding = forwardSignals(sandbox, handle.pid, user)
  const { promise: inputFailed, reject } = failure()
  if (hasInput) pumpStdin(process.stdin, handle).catch(reject)
  try {
    await Promise.race([handle.wait(), inputFailed])
    return 0
  } catch (error) {
    const { exitCode, error: reason } = error as { exitCode?: unknown; error?: string }
    if (typeof exitCode !== 'number') throw error
    // A signal is reported as -1 and a reason; an exit code of the program needs no message.
    if (exitCode < 0 && reason) note(reason)
    return exitCode & 0xff
  } finally {
    stopForwarding()
  }
}

/** A promise that never resolves, but may reject. */
function failure(): { promise: Promise<never>; reject: (reason: unknown) => void } {
  let reject!: (reason: unknown) => void
  const promise = new Promise<never>((_, no) => (reject = no))
  promise.catch(() => {})
  return { promise, reject }
}

/** Whether standard input is a file, a pipe or a socket, whose content is passed on. */
function isPiped(): boolean {
  try {
    const stat = fstatSync(0)
    return stat.isFIFO() || stat.isFile() || stat.isSocket()
  } catch {
    return false
  }
}

const write = (stream: NodeJS.WriteStream, data: Uint8Array): Promise<void> | void =>
  stream.write(data) ? undefined : new Promise((resolve) => stream.once('drain', resolve))
