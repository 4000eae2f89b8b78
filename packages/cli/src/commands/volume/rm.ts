import { Command } from 'commander'
import { Failure } from '../../failure.ts'
import { findVolume, placeIn } from '../../volumes/find.ts'

export const rm = (): Command =>
  new Command('rm')
    .description('remove a file of a volume, or a directory with everything in it')
    .argument('<volume:path>', 'volume, and a path in it')
    .addHelpText(
      'after',
      `
Examples:
  e2b volume rm datasets:/images/old`,
    )
    .action(async (text: string) => {
      const place = placeIn(text)
      if (!place) throw new Failure(`${text} names no path: write <volume>:<path>.`)
      await (await findVolume(place.volume)).remove(place.path)
    })
