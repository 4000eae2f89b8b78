import { Command, InvalidArgumentError } from 'commander'
import { type Format, formatOption } from '../../options/format.ts'
import { print, printJson } from '../../output/out.ts'
import { formatBytes } from '../../output/size.ts'
import { formatTable } from '../../output/table.ts'
import { formatTime } from '../../output/time.ts'
import { findVolume, placeIn } from '../../volumes/find.ts'

export const ls = (): Command =>
  new Command('ls')
    .description('list a directory of a volume')
    .argument('<volume:path>', 'volume, and a path in it')
    .option('-d, --depth <levels>', 'levels of directories', depthOf, 1)
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  e2b volume ls datasets:/
  e2b volume ls datasets:/images --depth 2`,
    )
    .action(async (text: string, { depth, format }: { depth: number; format: Format }) => {
      const { volume, path } = placeIn(text) ?? { volume: text, path: '/' }
      const entries = await (await findVolume(volume)).list(path, { depth })
      entries.sort((one, two) => (one.path < two.path ? -1 : 1))
      if (format === 'json') return printJson(entries)
      if (entries.length === 0) return
      await print(
        formatTable(entries, [
          { title: 'MODE', value: ({ mode }) => mode.toString(8).padStart(4, '0') },
          { title: 'OWNER', value: ({ uid, gid }) => `${uid}:${gid}` },
          { title: 'SIZE', value: ({ size }) => formatBytes(size) },
          { title: 'CHANGED AT', value: ({ mtime }) => formatTime(mtime) },
          { title: 'TYPE', value: ({ type }) => type },
          {
            title: 'PATH',
            value: ({ path, target }) => (target === undefined ? path : `${path} -> ${target}`),
          },
        ]),
      )
    })

function depthOf(text: string): number {
  if (!/^[1-9]\d?$/.test(text)) throw new InvalidArgumentError('It must be a number from 1 to 64.')
  return Number(text)
}
