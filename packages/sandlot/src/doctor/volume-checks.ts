import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { canSpareKernels } from '@sandlot/node/engine/oom-order'
import { type DiskAbilities, probeDisk } from '@sandlot/volumes'
import type { Config } from '../config.ts'
import { findExecutable } from '../setup/go.ts'
import type { Verdict } from './finding.ts'

const PROGRAMS = ['mkfs.ext4', 'e2fsck', 'resize2fs', 'losetup', 'fsfreeze'] as const

export interface VolumeFacts {
  dir: string
  /** Absent: nothing can be written there. */
  disk?: DiskAbilities
  /** Why `disk` is absent. */
  fault?: string
  missingPrograms: readonly string[]
  hasLoopDevices: boolean
  /** Whether a file system that is mounted may be enlarged, which takes CAP_SYS_RESOURCE. */
  canGrow: boolean
}

/** Checks whether this machine can have volumes, and what they cannot do on its disk. */
export async function volumes({ settings }: Config): Promise<Verdict> {
  const dir = settings.volumesDir || join(settings.home, 'volumes')
  if (process.getuid?.() !== 0) return { status: 'warning', detail: 'not tried without root' }
  let disk: DiskAbilities | undefined
  let fault: string | undefined
  try {
    disk = await probeDisk(nearestExisting(dir))
  } catch (error) {
    fault = (error as Error).message
  }
  return judgeVolumes(settings, {
    dir,
    disk,
    fault,
    missingPrograms: PROGRAMS.filter((program) => !findExecutable(program)),
    hasLoopDevices: existsSync('/dev/loop-control'),
    canGrow: canSpareKernels(),
  })
}

type VolumeSettings = { [name in 'volumeKind' | 'sandboxUsers']: string }

export function judgeVolumes(
  { volumeKind, sandboxUsers }: VolumeSettings,
  { dir, disk, fault, missingPrograms, hasLoopDevices, canGrow }: VolumeFacts,
): Verdict {
  if (!disk)
    return failed(`${dir} cannot have volumes: ${fault}`, 'choose another folder with the setting volumesDir')
  const isFolder = volumeKind === 'folder' || (volumeKind === 'auto' && disk.isOnNetwork)
  if (!isFolder && missingPrograms.length > 0)
    return failed(
      `volumes need ${missingPrograms.join(', ')}`,
      'apt-get install e2fsprogs util-linux, or set volumeKind to folder',
    )
  if (!isFolder && !hasLoopDevices)
    return failed(
      'volumes are files with a file system, and this machine has no loop devices (/dev/loop-control)',
      'modprobe loop, or set volumeKind to folder',
    )
  if (isFolder && !disk.canMapIds && sandboxUsers === 'own')
    return failed(
      `sandboxes cannot mount volumes of ${dir}: its file system cannot map owners, and each sandbox has a user of its own`,
      'set sandboxUsers to root, or volumesDir to a folder on ext4, XFS or btrfs',
    )
  const lacks = [
    ...(isFolder ? ['they have no limit of size'] : []),
    ...(isFolder || canGrow ? [] : ['they only grow while nothing uses them (no CAP_SYS_RESOURCE)']),
    ...(isFolder || disk.hasReflinks ? [] : ['a copy takes its time and its full size (no reflinks)']),
  ]
  const kind = isFolder ? 'folders' : 'images'
  return { status: 'ok', detail: [`${kind} in ${dir}`, ...lacks].join('; ') }
}

const failed = (detail: string, mend: string): Verdict => ({ status: 'warning', detail, mend })

function nearestExisting(path: string): string {
  let folder = path
  while (!existsSync(folder)) folder = dirname(folder)
  return folder
}
