export { type IdMapping, openIdMap } from './id-map.ts'
export { type MountInfo, mountsIn } from './mount-info.ts'
export {
  bindMount,
  type CloneOptions,
  canMapIds,
  cloneMount,
  detachMount,
  detachMounts,
  makePrivate,
  makeReadOnly,
  makeShared,
  mountDevice,
  mountTmpfs,
  unmountLazily,
} from './mounts.ts'
export { callInThread, errorNameOf, libc } from './system-calls.ts'
