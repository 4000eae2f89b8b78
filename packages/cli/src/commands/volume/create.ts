import { Command } from 'commander'
import { type Format, formatOption } from '../../options/format.ts'
import { volumeSizeArgument } from '../../options/volume-size.ts'
import { print, printJson } from '../../output/out.ts'
import { copiedHow } from '../../volumes/describe.ts'
import { findInfo } from '../../volumes/find.ts'

interface Flags {
  from?: string
  size?: number
  format: Format
}

export const create = (): Command =>
  new Command('create')
    .description('create a volume: storage that outlives sandboxes')
    .argument('<name>', 'letters, digits, - and _')
    .option('--from <volume>', 'copy the files of this volume or snapshot (name or ID)')
    .option(
      '--size <size>',
      'such as 500M, 20G or 1T (default: 10G, or the size of --from)',
      volumeSizeArgument,
    )
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
A copy has the files as they are at one moment, while sandboxes may use the volume that is copied.

Examples:
  e2b volume create datasets
  e2b volume create experiment --from datasets --size 20G
  e2b volume cp ./train.csv datasets:/`,
    )
    .action(async (name: string, { from, size, format }: Flags) => {
      const { connect } = await import('../../account/connection.ts')
      const { sdk, opts } = await connect()
      const source = from === undefined ? undefined : await findInfo(from)
      const volume = await sdk.Volume.create(name, { ...opts, from: source?.volumeId, sizeMB: size })
      const { volumeId, copied } = volume
      if (format === 'json') return printJson({ volumeId, name, copied })
      await print(`Volume ${name} has been created (${volumeId})${copiedHow(copied, source?.name)}`)
    })
