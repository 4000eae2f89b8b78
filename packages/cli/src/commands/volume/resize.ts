import { Command } from 'commander'
import { volumeSizeArgument } from '../../options/volume-size.ts'
import { print } from '../../output/out.ts'
import { formatMB } from '../../volumes/describe.ts'
import { findInfo } from '../../volumes/find.ts'

export const resize = (): Command =>
  new Command('resize')
    .description('enlarge a volume')
    .argument('<volume>', 'name or ID')
    .argument('<size>', 'such as 500M, 20G or 1T', volumeSizeArgument)
    .addHelpText(
      'after',
      `
Volumes only grow. While sandboxes use the volume this needs a server that may enlarge mounted file systems; any other
says so, and which sandboxes have it mounted.

Examples:
  e2b volume resize datasets 20G`,
    )
    .action(async (reference: string, size: number) => {
      const { connect } = await import('../../account/connection.ts')
      const { sdk, opts } = await connect()
      const { volumeId, name } = await findInfo(reference)
      const { sizeMB = size } = await sdk.Volume.resize(volumeId, size, opts)
      await print(`Volume ${name} has ${formatMB(sizeMB)} now`)
    })
