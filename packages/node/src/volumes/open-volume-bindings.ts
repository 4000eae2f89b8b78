import type { VolumeDirectories } from '@sandlot/protocol/node'
import type { InstanceNames } from '../instance-names.ts'
import { guestIds, type HostIds, hasAllIds } from '../machines/host-ids.ts'
import { SlotMounts } from './slot-mounts.ts'
import { VolumeBindings } from './volume-bindings.ts'
import { VolumeIds } from './volume-ids.ts'

export interface OpenVolumeBindingsOptions {
  names: Pick<InstanceNames, 'mountsDir'>
  /** Absent: kernels run as root of this server. */
  hostIds?: HostIds
  /** Absent: no volumes exist. */
  directories?: VolumeDirectories
  onError: (error: unknown) => void
}

/** Opens the mounts of an instance. Nothing is mounted before `prepare`. */
export function openVolumeBindings({
  names,
  hostIds,
  directories,
  onError,
}: OpenVolumeBindingsOptions): VolumeBindings {
  const ids = new VolumeIds({ hostIds, guestIds: guestIds(), canMap: hasAllIds() })
  return new VolumeBindings({ mounts: new SlotMounts(names.mountsDir), ids, directories, onError })
}
