import { Command } from 'commander'
import { type TreeLine, treeLines } from '../../checkpoints/tree-lines.ts'
import { type Format, formatOption } from '../../options/format.ts'
import { sandboxIdArgument } from '../../options/sandbox-id.ts'
import { formatAge } from '../../output/age.ts'
import { print, printJson } from '../../output/out.ts'
import { formatBytes } from '../../output/size.ts'
import { type Column, formatTable } from '../../output/table.ts'

export const tree = (): Command =>
  new Command('tree')
    .description('show the checkpoints of a sandbox as a tree, with age, size and cause')
    .addArgument(sandboxIdArgument('show the checkpoints of the sandbox specified by <sandboxID>'))
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Lists the oldest checkpoint first. ● is the head: the sandbox is paused in that state, or continued from it.
Names are those of snapshots with this state.

Examples:
  e2b sandbox tree i0lf5glwo7abo25de80rz
  e2b sandbox tree i0lf5glwo7abo25de80rz -f json | jq -r '.checkpoints[-1].checkpointId'`,
    )
    .action(async (sandboxId: string, { format }: { format: Format }) => {
      const { connect } = await import('../../account/connection.ts')
      const { orMissing } = await import('../../account/missing.ts')
      const { sdk, opts } = await connect()
      const found = await orMissing(sandboxId, sdk.Sandbox.tree(sandboxId, opts))
      if (format === 'json') return printJson(found)
      if (found.checkpoints.length === 0)
        return print(
          `Sandbox ${sandboxId} has no checkpoints yet. \`e2b sandbox checkpoint ${sandboxId}\` makes one.`,
        )
      await print(formatTable(treeLines(found.checkpoints), columnsAt(Date.now())))
    })

const columnsAt = (nowMs: number): Column<TreeLine>[] => [
  { title: 'CHECKPOINT', value: ({ graph, checkpoint }) => `${graph} ${checkpoint?.checkpointId ?? ''}` },
  { title: 'HEAD', value: ({ checkpoint }) => (checkpoint?.isHead ? 'head' : '') },
  {
    title: 'AGE',
    value: ({ checkpoint }) => (checkpoint ? formatAge(nowMs - checkpoint.createdAt.getTime()) : ''),
  },
  { title: 'SIZE', value: ({ checkpoint }) => (checkpoint ? formatBytes(checkpoint.sizeBytes) : '') },
  { title: 'WHY', value: ({ checkpoint }) => (checkpoint ? whyOf(checkpoint) : '') },
  { title: 'NAMES', value: ({ checkpoint }) => checkpoint?.names.join(', ') ?? '' },
]

const whyOf = ({ why, hasMemory }: NonNullable<TreeLine['checkpoint']>): string =>
  hasMemory ? why : `${why}, files only`
