import { Command, Option } from 'commander'
import { type DiffLine, diffLines, printablePath } from '../../checkpoints/diff-lines.ts'
import { parseCheckpointId } from '../../options/checkpoint-id.ts'
import { type Format, formatOption } from '../../options/format.ts'
import { sandboxIdArgument } from '../../options/sandbox-id.ts'
import { coloured } from '../../output/colour.ts'
import { note, print, printJson } from '../../output/out.ts'

const COLOURS = { A: 'green', M: 'yellow', D: 'red' } as const

export const diff = (): Command =>
  new Command('diff')
    .description('show the files that differ between two checkpoints of a sandbox')
    .addArgument(sandboxIdArgument('compare checkpoints of the sandbox specified by <sandboxID>'))
    .addOption(
      new Option(
        '--from <checkpointID>',
        'checkpoint to compare with (default: the parent of --to)',
      ).argParser(parseCheckpointId),
    )
    .addOption(
      new Option('--to <checkpointID>', 'checkpoint to compare (default: the newest)').argParser(
        parseCheckpointId,
      ),
    )
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Prints a line for each path: A added, M modified, D deleted. The IDs of the compared checkpoints are printed
to standard error.

Examples:
  e2b sandbox diff i0lf5glwo7abo25de80rz
  e2b sandbox diff i0lf5glwo7abo25de80rz --from c4kq0z9m1x7w2v5t8r3ya -f json | jq .added`,
    )
    .action(run)

async function run(
  sandboxId: string,
  { from, to, format }: { from?: string; to?: string; format: Format },
): Promise<void> {
  const { connect } = await import('../../account/connection.ts')
  const { orMissing } = await import('../../account/missing.ts')
  const { sdk, opts } = await connect()
  const found = await orMissing(
    sandboxId,
    sdk.Sandbox.diff(sandboxId, { ...opts, ...(from && { from }), ...(to && { to }) }),
  )
  if (format === 'json') return printJson(found)
  note(`${found.from} → ${found.to}`)
  const lines = diffLines(found)
  if (lines.length === 0) return note('No file differs.')
  await print(lines.map(formatLine).join('\n'))
  if (found.isTruncated) note('More paths differ than the server lists.')
}

const formatLine = ({ letter, path }: DiffLine): string =>
  `${coloured(COLOURS[letter], letter)} ${printablePath(path)}`
