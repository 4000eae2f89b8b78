import { readdir, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { SandlotError } from '@sandlot/protocol'
import { run, runAndRead } from '../run.ts'
import { pathInRoot } from './path-in-root.ts'

const TIMEOUT_MS = 20 * 60_000
const WHITEOUT = '.wh.'
/** Empties the folder it lies in of what came with the layers below. */
const OPAQUE = '.wh..wh..opq'
/** `bsdtar -tv`: mode, links, owner, group, size (of a device: its numbers), three columns of date, name. */
const LISTED = /^\S+\s+\d+\s+\S+\s+\S+\s+(\S+)\s+\S+\s+\S+\s+\S+\s(.*)$/

export interface LayerContent {
  /** Paths of the whiteout files in it. */
  whiteouts: string[]
  /** Bytes of all its files. */
  sizeBytes: number
}

/** Reads through a layer or any other tar, compressed or not. */
export async function listLayer(archive: string): Promise<LayerContent> {
  const content: LayerContent = { whiteouts: [], sizeBytes: 0 }
  await runAndRead('bsdtar', ['--numeric-owner', '-tvf', archive], TIMEOUT_MS, async (stdout) => {
    for await (const line of createInterface({ input: stdout })) {
      const [, size = '', name = ''] = LISTED.exec(line) ?? []
      if (/^\d+$/.test(size)) content.sizeBytes += Number(size)
      if (basename(name).startsWith(WHITEOUT)) content.whiteouts.push(name)
    }
  })
  return content
}

/**
 * Applies one layer of an OCI image to the folder that those below were applied to. Nothing outside of it is touched,
 * whatever links the layers hold.
 */
export async function unpackLayer(archive: string, { whiteouts }: LayerContent, root: string): Promise<void> {
  for (const whiteout of whiteouts) {
    const folder = await pathInRoot(root, dirname(whiteout))
    const name = basename(whiteout)
    if (name === OPAQUE) {
      for (const entry of await readdir(folder).catch(() => []))
        await rm(join(folder, entry), { recursive: true, force: true })
    } else if (!/^\.wh\.(\.\.?)?$/.test(name))
      await rm(join(folder, name.slice(WHITEOUT.length)), { recursive: true, force: true })
  }
  // -U: a file that is replaced gives up its name; written in place it would change with its hard links
  const args = ['-xpPU', '--chroot', '--numeric-owner', '--exclude', '*/.wh.*', '--exclude', '.wh.*']
  await run('bsdtar', [...args, '-C', root, '-f', archive], { timeoutMs: TIMEOUT_MS }).catch((cause) => {
    throw new SandlotError('invalid_request', `a layer cannot be unpacked: ${(cause as Error).message}`, {
      cause,
    })
  })
}
