import { Command } from 'commander'
import { print } from '../../output/out.ts'
import { findInfo } from '../../volumes/find.ts'

export const remove = (): Command =>
  new Command('delete')
    .description('delete volumes; they can be restored for a while')
    .argument('<volumes...>', 'names or IDs')
    .option('--now', 'delete them for good, also volumes that were deleted before', false)
    .addHelpText(
      'after',
      `
A volume that a sandbox has mounted cannot be deleted. How long deleted volumes can be restored is a setting of the
server, 24 hours by default; until then they count towards the limit of the team.

Examples:
  e2b volume delete datasets
  e2b volume restore datasets
  e2b volume delete --now datasets`,
    )
    .action(async (references: string[], { now }: { now: boolean }) => {
      const { connect } = await import('../../account/connection.ts')
      const { sdk, opts } = await connect()
      for (const reference of references) {
        const { volumeId } = await findInfo(reference, now)
        await sdk.Volume.destroy(volumeId, { ...opts, now })
        await print(`Volume ${reference} has been deleted${now ? ' for good' : await untilOf(volumeId)}`)
      }
    })

/** Says how long a volume can be restored, if the server tells. */
async function untilOf(volumeId: string): Promise<string> {
  const { connect } = await import('../../account/connection.ts')
  const { sdk, opts } = await connect()
  const deleted = await sdk.Volume.listDeleted(opts).catch(() => [])
  const found = deleted.find((one) => one.volumeId === volumeId)
  if (!found) return ''
  const { formatTime } = await import('../../output/time.ts')
  return `; until ${formatTime(found.removedAt)} \`e2b volume restore ${volumeId}\` brings it back`
}
