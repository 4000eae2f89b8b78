import type { Schema } from '../api/schema.ts'
import type { Volume } from '../volume/volume.ts'

/** A volume, or its name, and how it is mounted. */
export interface SandboxVolumeOpts {
  volume: Volume | string
  /** The sandbox cannot change the volume. @default false; true for snapshots */
  readOnly?: boolean
}

/** Body of a mount, as a create and a running sandbox get it. */
export const mountBody = (
  path: string,
  volume: Volume | string,
  readOnly?: boolean,
): Schema<'SandboxVolumeMount'> => ({
  name: typeof volume === 'string' ? volume : volume.name,
  path,
  ...(readOnly !== undefined && { readOnly }),
})
