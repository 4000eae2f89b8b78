import { Command } from 'commander'
import { type Format, formatOption } from '../../options/format.ts'
import { print, printJson } from '../../output/out.ts'
import { copiedHow } from '../../volumes/describe.ts'
import { findVolume } from '../../volumes/find.ts'

export const snapshot = (): Command =>
  new Command('snapshot')
    .description('save the files of a volume as they are now, as a volume that nobody can change')
    .argument('<volume>', 'name or ID')
    .argument('[name]', 'name of the snapshot (default: <volume>-<time>)')
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Sandboxes mount a snapshot read-only. To work with its files, create a volume from it.

Examples:
  e2b volume snapshot datasets before-cleanup
  e2b volume create experiment --from before-cleanup
  e2b volume delete before-cleanup`,
    )
    .action(async (reference: string, name: string | undefined, { format }: { format: Format }) => {
      const volume = await findVolume(reference)
      const made = await volume.snapshot(name)
      const { volumeId, copied } = made
      if (format === 'json')
        return printJson({ volumeId, name: made.name, snapshotOf: volume.volumeId, copied })
      await print(`Snapshot ${made.name} has been created (${volumeId})${copiedHow(copied, volume.name)}`)
    })
