import type { Volume } from 'e2b'
import { Failure } from '../failure.ts'

/** Connects to the volume with this name or id. */
export async function findVolume(reference: string): Promise<Volume> {
  const { connect } = await import('../account/connection.ts')
  const { sdk, opts } = await connect()
  const volumes = await sdk.Volume.list(opts)
  const found = volumes.find(({ name, volumeId }) => name === reference || volumeId === reference)
  if (!found)
    throw new Failure(`There is no volume ${reference}. \`e2b volume list\` shows those of your team.`)
  return sdk.Volume.connect(found.volumeId, opts)
}

/** A place in a volume, as `<volume>:<path>`. Undefined: a local path. */
export function placeIn(text: string): { volume: string; path: string } | undefined {
  const [, volume, path] = /^([A-Za-z0-9_-]+):(.*)$/s.exec(text) ?? []
  return volume === undefined || path === undefined ? undefined : { volume, path: path === '' ? '/' : path }
}
