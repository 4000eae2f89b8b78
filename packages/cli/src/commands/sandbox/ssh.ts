import { Argument, Command, InvalidArgumentError, Option } from 'commander'
import { parseSandboxId } from '../../options/sandbox-id.ts'
import { sandboxIdOf } from '../../ssh/options.ts'

export const ssh = (): Command =>
  new Command('ssh')
    .description('open an SSH session in a sandbox, with the ssh of this machine')
    .addArgument(new Argument('<sandboxID>', 'enter sandbox with <sandboxID>').argParser(parseHost))
    .argument('[words...]', 'options of ssh, and the command to execute')
    .passThroughOptions()
    .addOption(new Option('-u, --user <user>', 'user to log in as').default('user').argParser(parseUser))
    .addOption(new Option('--proxy', 'connect standard input and output to an SSH server, as a ProxyCommand'))
    .addHelpText(
      'after',
      `
Options of e2b come before the sandbox ID; all words after the ID are passed to ssh. A paused sandbox is resumed, and
the sandbox is kept alive while the connection lasts. \`e2b sandbox ssh-config\` sets ssh, scp, rsync and editors up.

Examples:
  e2b sandbox ssh i0lf5glwo7abo25de80rz
  e2b sandbox ssh i0lf5glwo7abo25de80rz 'ls -la'
  e2b sandbox ssh i0lf5glwo7abo25de80rz -N -L 5432:localhost:5432`,
    )
    .action(run)

async function run(host: string, words: string[], flags: { user: string; proxy?: boolean }): Promise<void> {
  const { SshFiles } = await import('../../ssh/files.ts')
  const files = new SshFiles()
  if (flags.proxy) return serve(host, files)
  const { sshOptions } = await import('../../ssh/options.ts')
  const { runSsh } = await import('../../ssh/run-ssh.ts')
  files.ensureKey()
  process.exitCode = await runSsh(sshOptions(files, thisProgram()), `${flags.user}@${host}`, words)
}

async function serve(host: string, files: import('../../ssh/files.ts').SshFiles): Promise<void> {
  const { connect } = await import('../../account/connection.ts')
  const { orMissing } = await import('../../account/missing.ts')
  const { proxy } = await import('../../ssh/proxy.ts')
  const { keepAlive } = await import('../../terminal/keep-alive.ts')
  const sandboxId = sandboxIdOf(host)
  const { sdk, opts } = await connect()
  const sandbox = await orMissing(sandboxId, sdk.Sandbox.connect(sandboxId, opts))
  keepAlive(sandbox)
  await proxy(sandbox, host, files)
  process.exit()
}

/** How to call this program again, whatever the PATH is then. */
export const thisProgram = (): string[] => [process.execPath, process.argv[1]!]

function parseHost(text: string): string {
  parseSandboxId(sandboxIdOf(text))
  return text
}

function parseUser(text: string): string {
  if (/^[a-z_][a-z0-9_.-]{0,31}$/i.test(text)) return text
  throw new InvalidArgumentError(`'${text}' is not the name of a user.`)
}
