import { Command } from 'commander'
import { print } from '../../output/out.ts'
import { findVolume } from '../../volumes/find.ts'

export const remove = (): Command =>
  new Command('delete')
    .description('delete volumes; the server can restore them for a day')
    .argument('<volumes...>', 'names or IDs')
    .addHelpText(
      'after',
      `
A volume that a sandbox has mounted cannot be deleted.

Examples:
  e2b volume delete datasets`,
    )
    .action(async (references: string[]) => {
      const { connect } = await import('../../account/connection.ts')
      const { sdk, opts } = await connect()
      for (const reference of references) {
        const { volumeId } = await findVolume(reference)
        await sdk.Volume.destroy(volumeId, opts)
        await print(`Volume ${reference} has been deleted`)
      }
    })
