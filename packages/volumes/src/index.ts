export { type DiskAbilities, probeDisk } from './storage/probe-disk.ts'
export { removeMounts } from './storage/remove-mounts.ts'
export { Volumes, type VolumesOptions } from './storage/volumes.ts'
