import { Command } from 'commander'
import { checkpointIdArgument } from '../../options/checkpoint-id.ts'
import { sandboxIdArgument } from '../../options/sandbox-id.ts'
import { formatAge } from '../../output/age.ts'
import { print } from '../../output/out.ts'

export const rollback = (): Command =>
  new Command('rollback')
    .description('roll a sandbox back to one of its checkpoints')
    .addArgument(sandboxIdArgument('roll back the sandbox specified by <sandboxID>'))
    .addArgument(checkpointIdArgument('checkpoint to roll back to; `e2b sandbox tree` lists the checkpoints'))
    .addHelpText(
      'after',
      `
Changes since that checkpoint are lost unless another checkpoint contains them, so make a checkpoint first.
A paused sandbox stays paused.

Examples:
  e2b sandbox tree i0lf5glwo7abo25de80rz
  e2b sandbox rollback i0lf5glwo7abo25de80rz c4kq0z9m1x7w2v5t8r3ya`,
    )
    .action(run)

async function run(sandboxId: string, checkpointId: string): Promise<void> {
  const { connect } = await import('../../account/connection.ts')
  const { orMissing } = await import('../../account/missing.ts')
  const { sdk, opts } = await connect()
  const [{ checkpoints }, { state }] = await orMissing(
    sandboxId,
    Promise.all([sdk.Sandbox.tree(sandboxId, opts), sdk.Sandbox.getInfo(sandboxId, opts)]),
  )
  await orMissing(sandboxId, sdk.Sandbox.rollback(sandboxId, checkpointId, opts))
  const target = checkpoints.find((checkpoint) => checkpoint.checkpointId === checkpointId)
  const age = target ? ` of ${formatAge(Date.now() - target.createdAt.getTime())} ago` : ''
  const rest = [
    ...(state === 'paused'
      ? [`the sandbox stays paused, \`e2b sandbox resume ${sandboxId}\` starts it from there`]
      : []),
    ...(target && !target.hasMemory
      ? ['the checkpoint contains only files, so the sandbox boots again']
      : []),
  ]
  await print([`Sandbox ${sandboxId} is back at checkpoint ${checkpointId}${age}`, ...rest].join('; '))
}
