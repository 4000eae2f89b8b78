import { createHash } from 'node:crypto'
import { pipeline, type Readable } from 'node:stream'
import { SandlotError } from '@sandlot/protocol'
import { extract, type Header } from 'tar-stream'

const MAX_ENTRIES = 500_000

/** What a writable layer says of one path. `deleted` hides a file of the image. */
export interface FileEntry {
  kind: 'file' | 'directory' | 'symlink' | 'other' | 'deleted'
  /** Everything that makes it what it is: mode, owner, content, target. */
  signature: string
}

/** By absolute path. */
export type FileTree = Map<string, FileEntry>

/**
 * Reads the tar of a writable layer, as `runsc tar rootfs-upper` writes it; contents are hashed as they pass.
 * @throws SandlotError invalid_request when it has more than 500 000 entries
 */
export async function readFileTree(tar: Readable): Promise<FileTree> {
  const tree: FileTree = new Map()
  const unpack = extract()
  pipeline(tar, unpack, () => {})
  for await (const entry of unpack) {
    if (tree.size >= MAX_ENTRIES)
      throw new SandlotError('invalid_request', `the writable layer has more than ${MAX_ENTRIES} entries`)
    const { header } = entry
    const path = absolute(header.name)
    const hash = createHash('sha256')
    for await (const chunk of entry as AsyncIterable<Buffer>) hash.update(chunk)
    tree.set(
      path,
      entryOf(header, () => hash.digest('hex'), tree),
    )
  }
  tree.delete('/')
  return tree
}

function entryOf(header: Header, digest: () => string, tree: FileTree): FileEntry {
  const { type, mode, uid, gid, linkname } = header
  const owner = `${mode}:${uid}:${gid}`
  if (type === 'directory') return { kind: 'directory', signature: owner }
  if (type === 'symlink') return { kind: 'symlink', signature: `${owner}>${linkname}` }
  // a whiteout is the character device 0/0, and all whiteouts but the first are hard links to it
  if (type === 'character-device' && !header.devmajor && !header.devminor)
    return { kind: 'deleted', signature: '' }
  if (type === 'link') return tree.get(absolute(linkname ?? '')) ?? { kind: 'other', signature: owner }
  if (type === 'file') return { kind: 'file', signature: `${owner}=${digest()}` }
  return { kind: 'other', signature: `${type}:${owner}` }
}

const absolute = (name: string): string => `/${name.replace(/^\.?\/*/, '').replace(/\/+$/, '')}`
