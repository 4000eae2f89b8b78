import type { VolumeDirectories } from '@sandlot/protocol/node'
import type { InstanceNames } from '../instance-names.ts'
import { guestIds, hasAllIds, hostIdsFor } from '../machines/host-ids.ts'
import { SlotMounts } from './slot-mounts.ts'
import { VolumeBindings } from './volume-bindings.ts'
import { VolumeIds } from './volume-ids.ts'

/** Opens the mounts of an instance. Nothing is mounted before `prepare`. @param directories absent: no volumes exist */
export function openVolumeBindings(
  { instance, mountsDir }: Pick<InstanceNames, 'instance' | 'mountsDir'>,
  directories: VolumeDirectories | undefined,
  onError: (error: unknown) => void,
): VolumeBindings {
  const ids = new VolumeIds({
    hostIds: hostIdsFor(instance),
    guestIds: guestIds(),
    canMap: hasAllIds(),
  })
  return new VolumeBindings({ mounts: new SlotMounts(mountsDir), ids, directories, onError })
}
