import { Command } from 'commander'
import { sandboxIdArgument } from '../../options/sandbox-id.ts'
import { timeoutOption } from '../../options/timeout.ts'
import { print } from '../../output/out.ts'

export const resume = (): Command =>
  new Command('resume')
    .description('resume paused sandbox')
    .addArgument(sandboxIdArgument('resume the sandbox specified by <sandboxID>'))
    .addOption(timeoutOption())
    .addHelpText(
      'after',
      `
Examples:
  e2b sandbox resume i0lf5glwo7abo25de80rz
  e2b sandbox resume i0lf5glwo7abo25de80rz --timeout 600`,
    )
    .action(async (sandboxId: string, { timeout }: { timeout?: number }) => {
      const { connect } = await import('../../account/connection.ts')
      const { orMissing } = await import('../../account/missing.ts')
      const { sdk, opts } = await connect()
      const timeoutMs = timeout && timeout * 1000
      await orMissing(sandboxId, sdk.Sandbox.connect(sandboxId, { ...opts, ...(timeoutMs && { timeoutMs }) }))
      await print(`Sandbox ${sandboxId} has been resumed`)
    })
