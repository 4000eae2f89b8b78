import { normalize } from 'node:path'
import { SandlotError } from '@sandlot/protocol'

/** Local paths of a checkpoint's image and envd. */
export interface BasePlace {
  imagePath: string
  guestDir: string
}

const ADOPTED = String.raw`/adopted/files/[0-9a-f]{64}-\d{1,20}`
const IMAGE = new RegExp(String.raw`/images/[A-Za-z0-9._-]+\.erofs$|${ADOPTED}/image\.erofs$`)
const GUEST = new RegExp(`/envd/[0-9a-f]{12}$|${ADOPTED}$`)

/**
 * Checks the paths in a checkpoint's manifest: those of an image, which is opened, and of a folder, which is mounted into
 * the machine. The manifest may come from a bucket, so only paths in the form that Sandlot creates are allowed, which no
 * other folder of the host has.
 * @throws SandlotError checkpoint_damaged
 */
export function checkBasePlace({ imagePath, guestDir }: BasePlace, checkpointId: string): void {
  for (const [what, path, form] of [
    ['image', imagePath, IMAGE],
    ['envd', guestDir, GUEST],
  ] as const)
    if (typeof path !== 'string' || !path.startsWith('/') || normalize(path) !== path || !form.test(path))
      throw new SandlotError(
        'checkpoint_damaged',
        `checkpoint '${checkpointId}' is damaged: its manifest names ${JSON.stringify(path)?.slice(0, 200)} as its ${what}, which is not a path that Sandlot creates`,
      )
}
