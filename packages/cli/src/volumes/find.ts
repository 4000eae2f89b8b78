import type { Volume, VolumeInfo } from 'e2b'
import { Failure } from '../failure.ts'

/** Connects to the volume with this name or id. */
export async function findVolume(reference: string): Promise<Volume> {
  const { connect } = await import('../account/connection.ts')
  const { sdk, opts } = await connect()
  return sdk.Volume.connect((await findInfo(reference)).volumeId, opts)
}

/** @param orDeleted whether a volume in the trash is meant, too, when no other has this name or id */
export async function findInfo(reference: string, orDeleted = false): Promise<VolumeInfo> {
  const { connect } = await import('../account/connection.ts')
  const { sdk, opts } = await connect()
  const isMeant = ({ name, volumeId }: VolumeInfo) => name === reference || volumeId === reference
  const found =
    (await sdk.Volume.list(opts)).find(isMeant) ??
    (orDeleted ? (await sdk.Volume.listDeleted(opts)).find(isMeant) : undefined)
  if (!found)
    throw new Failure(`There is no volume ${reference}. \`e2b volume list\` shows those of your team.`)
  return found
}

/** A place in a volume, as `<volume>:<path>`. Undefined: a local path. */
export function placeIn(text: string): { volume: string; path: string } | undefined {
  const [, volume, path] = /^([A-Za-z0-9_-]+):(.*)$/s.exec(text) ?? []
  return volume === undefined || path === undefined ? undefined : { volume, path: path === '' ? '/' : path }
}
