import { Command } from 'commander'
import { Failure } from '../../failure.ts'
import { print } from '../../output/out.ts'

export const restore = (): Command =>
  new Command('restore')
    .description('bring a deleted volume back')
    .argument('<volume>', 'ID, or name of the volume that was deleted last under it')
    .addHelpText(
      'after',
      `
Examples:
  e2b volume list --deleted
  e2b volume restore datasets`,
    )
    .action(async (reference: string) => {
      const { connect } = await import('../../account/connection.ts')
      const { sdk, opts } = await connect()
      const deleted = await sdk.Volume.listDeleted(opts)
      const found = deleted.find(({ name, volumeId }) => name === reference || volumeId === reference)
      if (!found)
        throw new Failure(
          `There is no deleted volume ${reference}. \`e2b volume list --deleted\` shows those that can be restored.`,
        )
      await sdk.Volume.restore(found.volumeId, opts)
      await print(`Volume ${found.name} has been restored (${found.volumeId})`)
    })
