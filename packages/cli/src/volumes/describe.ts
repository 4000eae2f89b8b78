import type { VolumeAndToken } from 'e2b'
import { formatBytes } from '../output/size.ts'
import { formatTime } from '../output/time.ts'

const MiB = 2 ** 20

export const formatMB = (sizeMB: number): string => formatBytes(sizeMB * MiB)

/** What a volume has and takes, one line each. Only a Sandlot sends more than the id and the name. */
export function volumeLines(volume: VolumeAndToken, sourceName?: string): string[] {
  const { volumeId, name, sizeMB, usedMB, isSizeLimited, createdAt, snapshotOf } = volume
  const lines: Array<[title: string, value: string | undefined]> = [
    ['Volume ID', volumeId],
    ['Name', name],
    ['Size', sizeMB === undefined ? undefined : sizeOf(sizeMB, isSizeLimited)],
    ['Used', usedMB === undefined ? notTold(isSizeLimited) : formatMB(usedMB)],
    ['Created at', createdAt && formatTime(createdAt)],
    ['Snapshot of', snapshotOf && (sourceName ?? snapshotOf)],
  ]
  return lines.flatMap(([title, value]) =>
    value === undefined ? [] : [`${`${title}:`.padEnd(12)} ${value}`],
  )
}

const sizeOf = (sizeMB: number, isLimited: boolean | undefined): string =>
  isLimited === false
    ? `not limited (a folder of the server; ${formatMB(sizeMB)} count towards the limit of the team)`
    : formatMB(sizeMB)

const notTold = (isLimited: boolean | undefined): string | undefined =>
  isLimited === false ? 'the server cannot tell for a folder' : undefined

/** The end of a message about a copy. */
export function copiedHow(copied: 'reflink' | 'copy' | undefined, from: string | undefined): string {
  if (copied === 'reflink') return `, sharing the blocks of ${from}`
  return copied === 'copy' ? `, with a copy of all blocks of ${from}` : ''
}
