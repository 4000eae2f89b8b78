export { Volumes, type VolumesOptions } from './storage/volumes.ts'
