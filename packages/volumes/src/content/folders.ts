import { mkdir } from 'node:fs/promises'
import type { VolumeAttributes } from '@sandlot/protocol/node'
import { codeOf } from '../errors.ts'
import { applyAttributes } from './attributes.ts'
import { openChild, openFolder, pathIn, withDescriptor } from './descriptors.ts'
import { VolumePath } from './volume-path.ts'

/** Makes a folder. @returns false when there is an entry of this name */
export async function makeFolder(
  parent: number,
  name: Buffer,
  attributes: VolumeAttributes,
): Promise<boolean> {
  try {
    await mkdir(pathIn(parent, name), { mode: 0o700 })
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
  const { uid = 0, gid = 0, mode = 0o755 } = attributes
  await withDescriptor(openChild(parent, name), (folder) => applyAttributes(folder, { uid, gid, mode }))
  return true
}

/** Opens a folder, and makes it and those above it when they are missing. */
export async function openOrMakeFolder(
  root: number,
  path: VolumePath,
  { uid, gid }: VolumeAttributes,
): Promise<number> {
  try {
    return await openFolder(root, path)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' || path.isRoot) throw error
  }
  for (let length = 1; length <= path.names.length; length += 1) {
    const folder = new VolumePath(path.names.slice(0, length))
    await withDescriptor(openFolder(root, folder.parent), (parent) =>
      makeFolder(parent, folder.name, { uid, gid }),
    )
  }
  return openFolder(root, path)
}
