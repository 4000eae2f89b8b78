import { Command } from 'commander'
import { sandboxIdArgument } from '../../options/sandbox-id.ts'
import { addSessionOptions, type SessionFlags } from '../../options/session.ts'
import { coloured } from '../../output/colour.ts'

export const connect = (): Command =>
  addSessionOptions(
    new Command('connect')
      .description('connect terminal to already running sandbox')
      .addArgument(sandboxIdArgument('connect to sandbox with <sandboxID>')),
    'the terminal session',
  )
    .addHelpText(
      'after',
      `
A paused sandbox is resumed. The sandbox keeps running when the terminal is closed.

Examples:
  e2b sandbox connect i0lf5glwo7abo25de80rz
  e2b sandbox connect i0lf5glwo7abo25de80rz -u root -c /tmp`,
    )
    .action(async (sandboxId: string, flags: SessionFlags) => {
      const account = await import('../../account/connection.ts')
      const { orMissing } = await import('../../account/missing.ts')
      const { sdk, opts } = await account.connect()
      const sandbox = await orMissing(sandboxId, sdk.Sandbox.connect(sandboxId, opts))
      const { showTerminal } = await import('../../terminal/show.ts')
      await showTerminal(sandbox, `sandbox ${coloured('bold', sandboxId)}`, flags)
    })
