export type { VolumeApiOpts, VolumeConnectionConfig } from './connection.ts'
export {
  type DeletedVolumeInfo,
  type VolumeAndToken,
  type VolumeEntryStat,
  VolumeFileType,
  type VolumeInfo,
  type VolumeMetadataOptions,
  type VolumeMetadataOpts,
  type VolumeReadOpts,
  type VolumeWriteOptions,
  type VolumeWriteOpts,
} from './types.ts'
export { type DestroyVolumeOpts, type NewVolumeOpts, Volume } from './volume.ts'
