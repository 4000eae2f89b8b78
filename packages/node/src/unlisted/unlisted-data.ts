import { SandlotError } from '@sandlot/protocol'
import type { Logger } from 'pino'
import type { Machines } from '../machines/machines.ts'
import type { CheckpointTiers } from '../persistence/checkpoint-tiers.ts'
import { marksIn, type UnlistedMark } from './marks.ts'
import { Unlisted } from './unlisted.ts'

/** Unlisted things of a home, by kind. */
export interface UnlistedData {
  checkpoints: Unlisted
  machines: Unlisted
}

export interface UnlistedDataOptions {
  home: string
  graceMs: number
  tiers: Pick<CheckpointTiers, 'peek'>
  machines: Pick<Machines, 'end'>
  /** Deletes a checkpoint in every tier and in the bucket. */
  removeCheckpoint: (checkpointId: string) => Promise<void>
  logger: Logger
  onError: (error: unknown) => void
}

export function createUnlistedData(options: UnlistedDataOptions): UnlistedData {
  const { home, graceMs, tiers, machines, removeCheckpoint, logger, onError } = options
  const common = (what: string) => ({
    graceMs,
    onError,
    onFound: (marks: readonly UnlistedMark[]) =>
      logger.warn(
        { count: marks.length, instanceId: marks[0]?.instanceId },
        `the database does not list every ${what} on this machine: \`sandlot doctor\` shows until when they are kept`,
      ),
    onRemoved: (mark: UnlistedMark) =>
      logger.warn(mark, `a ${what} was deleted: the database did not list it for the grace period`),
  })
  return {
    checkpoints: new Unlisted({
      ...common('checkpoint'),
      marks: marksIn(home, 'checkpoints'),
      async describe(id) {
        // checkpoints that are damaged or only in the bucket have the grace period too
        const manifest = await tiers.peek(id).catch(() => undefined)
        return { sizeBytes: manifest?.sizeBytes, createdAtMs: manifest?.createdAtMs }
      },
      remove: removeCheckpoint,
    }),
    machines: new Unlisted({
      ...common('machine'),
      marks: marksIn(home, 'machines'),
      describe: async () => ({}),
      remove: (machineId) => machines.end(machineId),
    }),
  }
}

export async function collectUnlisted(
  { checkpoints, machines }: UnlistedData,
  options: { isAsked: boolean },
): Promise<void> {
  await machines.collect(options)
  await checkpoints.collect(options)
}

/** Adds unlisted machines to the reason of a shortage, because no list shows them and no client can kill them. */
export function mentionUnlisted(shortage: SandlotError, count: number): SandlotError {
  if (count === 0) return shortage
  const held = count === 1 ? 'one is held by a sandbox' : `${count} are held by sandboxes`
  return new SandlotError(
    shortage.errorName,
    `${shortage.message}; ${held} that ${count === 1 ? 'is' : 'are'} frozen because the database does not list ${count === 1 ? 'it' : 'them'} (see \`sandlot doctor\`)`,
    { cause: shortage, retryAfterSeconds: shortage.retryAfterSeconds },
  )
}
