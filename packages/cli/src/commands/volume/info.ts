import { Command } from 'commander'
import { type Format, formatOption } from '../../options/format.ts'
import { print, printJson } from '../../output/out.ts'
import { findVolume } from '../../volumes/find.ts'

export const info = (): Command =>
  new Command('info')
    .description('show a volume')
    .argument('<volume>', 'name or ID')
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  e2b volume info datasets`,
    )
    .action(async (reference: string, { format }: { format: Format }) => {
      const { volumeId, name } = await findVolume(reference)
      if (format === 'json') return printJson({ volumeId, name })
      await print(`Volume ID: ${volumeId}\nName:      ${name}`)
    })
