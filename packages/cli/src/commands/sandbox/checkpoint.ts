import { Command } from 'commander'
import { type Format, formatOption } from '../../options/format.ts'
import { sandboxIdArgument } from '../../options/sandbox-id.ts'
import { print, printJson } from '../../output/out.ts'
import { formatBytes } from '../../output/size.ts'

export const checkpoint = (): Command =>
  new Command('checkpoint')
    .description('save the current state of a sandbox, to roll back to later')
    .addArgument(sandboxIdArgument('save the running sandbox specified by <sandboxID>'))
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Saves memory, processes and files; the sandbox keeps running. Pauses and snapshots also create checkpoints.

Examples:
  e2b sandbox checkpoint i0lf5glwo7abo25de80rz
  e2b sandbox checkpoint i0lf5glwo7abo25de80rz -f json | jq -r .checkpointId`,
    )
    .action(async (sandboxId: string, { format }: { format: Format }) => {
      const { connect } = await import('../../account/connection.ts')
      const { orMissing } = await import('../../account/missing.ts')
      const { sdk, opts } = await connect()
      const made = await orMissing(sandboxId, sdk.Sandbox.checkpoint(sandboxId, opts))
      if (format === 'json') return printJson(made)
      const size = formatBytes(made.sizeBytes)
      await print(`Checkpoint ${made.checkpointId} (${size}) has been made of sandbox ${sandboxId}`)
    })
