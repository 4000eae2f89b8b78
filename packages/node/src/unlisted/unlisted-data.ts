import { SandlotError } from '@sandlot/protocol'
import type { Logger } from 'pino'
import type { Machines } from '../machines/machines.ts'
import type { CheckpointTiers } from '../persistence/checkpoint-tiers.ts'
import { marksIn, type UnlistedMark } from './marks.ts'
import { Unlisted } from './unlisted.ts'

/** What a home can have that its database does not list, by kind. */
export interface UnlistedData {
  checkpoints: Unlisted
  machines: Unlisted
}

export interface UnlistedDataOptions {
  home: string
  graceMs: number
  cold: Pick<CheckpointTiers, 'peek'>
  machines: Pick<Machines, 'end'>
  /** For good: packed, and in the bucket too. */
  removeCheckpoint: (checkpointId: string) => Promise<void>
  logger: Logger
  onError: (error: unknown) => void
}

export function createUnlistedData(options: UnlistedDataOptions): UnlistedData {
  const { home, graceMs, cold, machines, removeCheckpoint, logger, onError } = options
  const common = (what: string) => ({
    ...{ graceMs, onError },
    onFound: (marks: readonly UnlistedMark[]) =>
      logger.warn(
        { count: marks.length, instanceId: marks[0]?.instanceId },
        `the database does not list every ${what} that is here: \`sandlot doctor\` says until when they are kept`,
      ),
    onRemoved: (mark: UnlistedMark) =>
      logger.warn(mark, `a ${what} was deleted: no database listed it for long`),
  })
  return {
    checkpoints: new Unlisted({
      ...common('checkpoint'),
      marks: marksIn(home, 'checkpoints'),
      async describe(id) {
        // what lies in the bucket alone, or is damaged, is kept as long
        const manifest = await cold.peek(id).catch(() => undefined)
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

/** Nobody sees these sandboxes in a list, or can kill them: without a word the machine would be full of nothing. */
export function sayingWhoHolds(shortage: SandlotError, count: number): SandlotError {
  if (count === 0) return shortage
  const held =
    count === 1 ? 'one is held by a sandbox that stands' : `${count} are held by sandboxes that stand`
  return new SandlotError(
    shortage.errorName,
    `${shortage.message}; ${held} still because the database does not list ${count === 1 ? 'it' : 'them'} (\`sandlot doctor\` says more)`,
    { cause: shortage, retryAfterSeconds: shortage.retryAfterSeconds },
  )
}
