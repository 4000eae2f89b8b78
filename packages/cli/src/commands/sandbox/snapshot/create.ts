import { Command, Option } from 'commander'
import { type Format, formatOption } from '../../../options/format.ts'
import { sandboxIdArgument } from '../../../options/sandbox-id.ts'
import { parseTemplateName } from '../../../options/template-name.ts'
import { print, printJson } from '../../../output/out.ts'

export const create = (): Command =>
  new Command('create')
    .description('create a snapshot from a sandbox')
    .addArgument(sandboxIdArgument('create a snapshot from <sandboxID>'))
    .addOption(
      new Option('-n, --name <name>', 'name of the snapshot; one that exists gets a new version').argParser(
        parseTemplateName,
      ),
    )
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
The sandbox keeps running.

Examples:
  e2b sandbox snapshot create i0lf5glwo7abo25de80rz -n ready
  e2b sandbox create ready`,
    )
    .action(async (sandboxId: string, { name, format }: { name?: string; format: Format }) => {
      const { connect } = await import('../../../account/connection.ts')
      const { orMissing } = await import('../../../account/missing.ts')
      const { sdk, opts } = await connect()
      const made = await orMissing(
        sandboxId,
        sdk.Sandbox.createSnapshot(sandboxId, { ...opts, ...(name && { name }) }),
      )
      if (format === 'json') return printJson(made)
      const names = made.names.length > 0 ? ` (${made.names.join(', ')})` : ''
      await print(`Snapshot ${made.snapshotId}${names} has been created from sandbox ${sandboxId}`)
    })
