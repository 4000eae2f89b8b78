import { Command } from 'commander'
import { Failure } from '../../failure.ts'
import { print } from '../../output/out.ts'
import { downloadFrom } from '../../volumes/download.ts'
import { findVolume, placeIn } from '../../volumes/find.ts'
import { uploadTo } from '../../volumes/upload.ts'

export const cp = (): Command =>
  new Command('cp')
    .description('copy files and directories into or out of a volume')
    .argument('<source>', 'local path, or <volume>:<path>')
    .argument('<target>', 'local path, or <volume>:<path>')
    .option('--resume', 'skip files that the target has with this size already', false)
    .addHelpText(
      'after',
      `
A file that broke off continues where it stopped when the command is repeated: uploads from 8 MiB on for a day, unless
the file has changed. --resume leaves out the files that were complete. Permissions are copied; links and special files
are not, and each is named. Uploaded files belong to root. A local path with a colon begins with ./

Examples:
  e2b volume cp ./train.csv datasets:/train.csv
  e2b volume cp ./images datasets:/ --resume
  e2b volume cp datasets:/images ./images`,
    )
    .action(async (source: string, target: string, options: { resume: boolean }) => {
      const [from, to] = [placeIn(source), placeIn(target)]
      if (from && to) throw new Failure('One of the two paths must be local.')
      if (to) {
        const path = await uploadTo(await findVolume(to.volume), source, to.path, options)
        return print(`${source} has been copied to ${to.volume}:${path}`)
      }
      if (!from) throw new Failure('One of the two paths must be in a volume: <volume>:<path>.')
      const path = await downloadFrom(await findVolume(from.volume), from.path, target, options)
      await print(`${source} has been copied to ${path}`)
    })
