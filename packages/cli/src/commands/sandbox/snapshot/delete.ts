import { Command } from 'commander'
import { note, print } from '../../../output/out.ts'

export const remove = (): Command =>
  new Command('delete')
    .description('delete snapshots')
    .argument('<snapshotIDs...>', 'delete the snapshots specified by <snapshotIDs...>')
    .addHelpText(
      'after',
      `
Exit code 1 when one of the snapshots does not exist.

Examples:
  e2b sandbox snapshot delete ready:default`,
    )
    .action(async (snapshotIds: string[]) => {
      const { connect } = await import('../../../account/connection.ts')
      const { sdk, opts } = await connect()
      for (const id of snapshotIds) {
        if (await sdk.Sandbox.deleteSnapshot(id, opts)) await print(`Snapshot ${id} has been deleted`)
        else {
          note(`Snapshot ${id} wasn't found`)
          process.exitCode = 1
        }
      }
    })
