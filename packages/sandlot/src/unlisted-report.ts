import { type UnlistedMark, unlistedIn } from '@sandlot/node'
import { DAY_MS } from '@sandlot/protocol'
import type { Settings } from './settings.ts'

/** Reports data of this home that its database does not list, one line for each kind and database, oldest first. */
export async function unlistedReport({
  home,
  unlistedGraceDays,
}: Pick<Settings, 'home' | 'unlistedGraceDays'>): Promise<string[]> {
  const graceMs = unlistedGraceDays * DAY_MS
  const { checkpoints, machines } = await unlistedIn(home)
  return [...linesOf(checkpoints, graceMs, checkpointsOf), ...linesOf(machines, graceMs, machinesOf)]
}

/** Summarises the report in one phrase; at least one of the two lists must not be empty. */
export function describeUnlisted({ checkpoints, machines }: Awaited<ReturnType<typeof unlistedIn>>): string {
  const kinds = [
    ...(machines.length > 0 ? [machinesOf(machines.length)] : []),
    ...(checkpoints.length > 0 ? [checkpointsOf(checkpoints.length)] : []),
  ]
  return `the database does not list ${kinds.join(' and ')} (see \`sandlot doctor\`)`
}

const checkpointsOf = (count: number) => (count === 1 ? '1 checkpoint' : `${count} checkpoints`)
const machinesOf = (count: number) => (count === 1 ? '1 frozen sandbox' : `${count} frozen sandboxes`)

function linesOf(
  marks: readonly UnlistedMark[],
  graceMs: number,
  countOf: (count: number) => string,
): string[] {
  return [...Map.groupBy(marks, ({ instanceId }) => instanceId)].map(([instanceId, own]) => {
    const sizeBytes = own.reduce((sum, mark) => sum + (mark.sizeBytes ?? 0), 0)
    const since = own[0]!.sinceMs
    const size = sizeBytes > 0 ? ` of ${(sizeBytes / 2 ** 20).toFixed(1)} MB` : ''
    return `${countOf(own.length)}${size}, not listed by database ${instanceId} since ${timeOf(since)}, deleted by it from ${timeOf(since + graceMs)} on`
  })
}

const timeOf = (ms: number): string => new Date(ms).toISOString().replace(/:\d\d\.\d+Z$/, 'Z')
