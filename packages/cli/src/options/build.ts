import { type Command, Option } from 'commander'
import { parseWholeNumber } from './whole-number.ts'

export interface BuildFlags {
  cmd?: string
  readyCmd?: string
  cpuCount?: number
  memoryMb?: number
}

/** Options of a template build: commands and machine size. */
export const addBuildOptions = (command: Command): Command =>
  command
    .addOption(new Option('-c, --cmd <start-command>', 'command that runs when the sandbox starts'))
    .addOption(new Option('--ready-cmd <ready-command>', 'command that exits 0 once the template is ready'))
    .addOption(
      new Option('--cpu-count <cpu-count>', 'number of CPUs (default: the server decides, 2)').argParser(
        (text) => parseWholeNumber(text, { least: 1, most: 1024 }),
      ),
    )
    .addOption(
      new Option(
        '--memory-mb <memory-mb>',
        'memory in megabytes, even (default: the server decides, 1024)',
      ).argParser((text) => parseWholeNumber(text, { least: 128, isEven: true, unit: 'megabytes' })),
    )
