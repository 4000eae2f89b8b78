import { Command } from 'commander'
import { sandboxIdArgument } from '../../options/sandbox-id.ts'
import { print } from '../../output/out.ts'

export const pause = (): Command =>
  new Command('pause')
    .description('pause sandbox')
    .addArgument(sandboxIdArgument('pause the sandbox specified by <sandboxID>'))
    .addHelpText(
      'after',
      `
Examples:
  e2b sandbox pause i0lf5glwo7abo25de80rz
  e2b sandbox resume i0lf5glwo7abo25de80rz`,
    )
    .action(async (sandboxId: string) => {
      const { connect } = await import('../../account/connection.ts')
      const { orMissing } = await import('../../account/missing.ts')
      const { sdk, opts } = await connect()
      const wasRunning = await orMissing(sandboxId, sdk.Sandbox.pause(sandboxId, opts))
      await print(`Sandbox ${sandboxId} ${wasRunning ? 'has been paused' : 'was paused already'}`)
    })
