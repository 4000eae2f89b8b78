export { removeMounts } from './storage/remove-mounts.ts'
export { Volumes, type VolumesOptions } from './storage/volumes.ts'
