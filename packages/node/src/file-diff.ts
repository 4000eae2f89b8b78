import type { FileEntry, FileTree } from './file-tree.ts'

/** Paths by what happened to them on the way from one file system to the other, sorted. */
export interface FileDiff {
  added: string[]
  changed: string[]
  deleted: string[]
}

/**
 * Compares two writable layers over the same image.
 * @param isInImage whether the image itself has something at a path
 */
export function diffFileTrees(from: FileTree, to: FileTree, isInImage: (path: string) => boolean): FileDiff {
  const diff: FileDiff = { added: [], changed: [], deleted: [] }
  for (const path of new Set([...from.keys(), ...to.keys()])) {
    const before = from.get(path)
    const after = to.get(path)
    if (before?.kind === after?.kind && before?.signature === after?.signature) continue
    const was = exists(before, path, isInImage)
    const is = exists(after, path, isInImage)
    if (!was && is) diff.added.push(path)
    else if (was && !is) diff.deleted.push(path)
    else if (was && is && !cameAlong(before, after)) diff.changed.push(path)
  }
  for (const paths of Object.values(diff)) paths.sort()
  return diff
}

const exists = (entry: FileEntry | undefined, path: string, isInImage: (path: string) => boolean): boolean =>
  entry ? entry.kind !== 'deleted' : isInImage(path)

/** A directory of the image comes into the layer, as it is, with the first thing that is written below it. */
const cameAlong = (before: FileEntry | undefined, after: FileEntry | undefined): boolean =>
  (before ?? after)?.kind === 'directory' && (before === undefined || after === undefined)
