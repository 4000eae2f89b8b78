import { Command } from 'commander'
import { type Format, formatOption } from '../../options/format.ts'
import { print, printJson } from '../../output/out.ts'

export const create = (): Command =>
  new Command('create')
    .description('create a volume: storage that outlives sandboxes')
    .argument('<name>', 'letters, digits, - and _')
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  e2b volume create datasets
  e2b volume cp ./train.csv datasets:/`,
    )
    .action(async (name: string, { format }: { format: Format }) => {
      const { connect } = await import('../../account/connection.ts')
      const { sdk, opts } = await connect()
      const { volumeId } = await sdk.Volume.create(name, opts)
      if (format === 'json') return printJson({ volumeId, name })
      await print(`Volume ${name} has been created (${volumeId})`)
    })
