import { Command, Option } from 'commander'
import { ageOption } from '../../options/age.ts'
import { sandboxIdArgument } from '../../options/sandbox-id.ts'
import { parseWholeNumber } from '../../options/whole-number.ts'
import { formatDuration } from '../../output/age.ts'
import { print } from '../../output/out.ts'

/** Largest number that the server accepts. */
const MOST = 1000

export const keep = (): Command =>
  new Command('keep')
    .description('set how many checkpoints a sandbox keeps')
    .addArgument(sandboxIdArgument('set the policy of the sandbox specified by <sandboxID>'))
    .addOption(
      new Option('--last <count>', `number of checkpoints to keep besides the head, 0 to ${MOST}`)
        .argParser((text) => parseWholeNumber(text, { most: MOST }))
        .makeOptionMandatory(),
    )
    .addOption(ageOption('delete checkpoints older than this, eg. 12h or 7d (default: no limit)'))
    .addHelpText(
      'after',
      `
Other checkpoints are deleted soon, and again after each new checkpoint. Snapshots are always kept. The policy
replaces the previous one.

Examples:
  e2b sandbox keep i0lf5glwo7abo25de80rz --last 20
  e2b sandbox keep i0lf5glwo7abo25de80rz --last 5 --age 7d`,
    )
    .action(async (sandboxId: string, { last, age }: { last: number; age?: number }) => {
      const { connect } = await import('../../account/connection.ts')
      const { orMissing } = await import('../../account/missing.ts')
      const { sdk, opts } = await connect()
      const policy = { last, ...(age !== undefined && { maxAgeSeconds: age }) }
      await orMissing(sandboxId, sdk.Sandbox.keep(sandboxId, { ...opts, ...policy }))
      const oldest = age === undefined ? '' : `, none older than ${formatDuration(age)}`
      await print(`Sandbox ${sandboxId} keeps its head and the last ${last} checkpoints besides${oldest}`)
    })
