import { chmodSync, lstatSync, mkdirSync, rmdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { detachMount, mountTmpfs } from '@sandlot/linux'
import { SLOT_COUNT } from './slot-mounts.ts'
import type { SlotVolume } from './volume-table.ts'

/** Each try makes one file or folder that the checkpoint has open and the volume has no longer. */
const MAX_TRIES = 64
/** Room for entries, which have no content; a guest may write to them until it closes them. */
const TMPFS_OPTIONS = 'size=1m,nr_inodes=4k,mode=777'

/** What gVisor says about a file of a volume that it had open: slot, path in the volume, and the bits of its type. */
const NOT_FOUND =
  /failed to walk "(\d+)((?:\/(?:[^"\\]|\\.)*)?)" of type 0?(\d+) in mount "[^"]*:\/run\/sandlot\/volumes"/
/** A file of another type or without permission; the kernel does not say which one. */
const UNNAMED = /failed to restore file handles|failed to walk|\bEOF\b/

/** Folders that take the place of volumes during a restore, by slot. */
export type StandInFolders = ReadonlyMap<number, string>

/**
 * Restores checkpoints whose processes had files of a volume open that are gone: the kernel refuses such a checkpoint.
 * Empty folders take the place of the volumes, and what the kernel misses is made in them until the restore succeeds. Only
 * handles from before the pause then lead to these empty files.
 */
export class StandIns {
  readonly #dir: string
  #count = 0

  /** @param dir folder that contains nothing else */
  constructor(dir: string) {
    this.#dir = dir
  }

  /**
   * @param restore starts a new machine; called with no folders first
   * @throws what `restore` throws for another reason, or when it cannot succeed
   */
  async during<T>(
    volumes: readonly SlotVolume[],
    restore: (folders: StandInFolders) => Promise<T>,
  ): Promise<T> {
    const folders = new Map<number, string>()
    try {
      for (let tries = 0; ; tries++) {
        try {
          return await restore(folders)
        } catch (error) {
          if (tries === MAX_TRIES || !this.#mend(volumes, folders, (error as Error).message)) throw error
        }
      }
    } finally {
      // a machine that uses them keeps them alive
      for (const folder of folders.values()) removeTmpfs(folder)
    }
  }

  /** Makes what a failed restore has missed. @returns whether another try can succeed */
  #mend(volumes: readonly SlotVolume[], folders: Map<number, string>, message: string): boolean {
    const failure = withoutJson(message)
    if (!UNNAMED.test(failure)) return false
    const [, slotText, quoted = '', type = ''] = NOT_FOUND.exec(failure) ?? []
    // the slot of a volume that was unmounted while it was in use is in no list
    const slots = slotText === undefined ? volumes.map(({ slot }) => slot) : [Number(slotText)]
    const added = slots.filter((slot) => slot < SLOT_COUNT && !folders.has(slot))
    for (const slot of added) folders.set(slot, this.#newTmpfs())
    const folder = slotText === undefined ? undefined : folders.get(Number(slotText))
    const path = unquote(quoted)
    const isMade =
      folder !== undefined && path !== undefined && makeEntry(folder, path, Number.parseInt(type, 8))
    return isMade || added.length > 0
  }

  #newTmpfs(): string {
    const folder = join(this.#dir, `${process.pid}-${this.#count++}`)
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    mountTmpfs(folder, TMPFS_OPTIONS)
    return folder
  }
}

function removeTmpfs(folder: string): void {
  while (detachMount(folder));
  rmdirSync(folder)
}

/** Decodes the lines of a log of runsc, which are JSON. */
function withoutJson(text: string): string {
  return text.replace(/\{"msg":("(?:[^"\\]|\\.)*")/g, (all, quoted) => {
    try {
      return JSON.parse(quoted) as string
    } catch {
      return all
    }
  })
}

/** @param text the inside of a string of Go, as %q formats it @returns undefined when it is none */
function unquote(text: string): string | undefined {
  try {
    const escaped = text.replace(/\\(x([0-9a-f]{2})|U([0-9a-f]{8})|[av'])/g, (_, all: string, byte, rune) =>
      byte || rune
        ? `\\u${(byte ?? rune.slice(4)).padStart(4, '0')}`
        : all === "'"
          ? "'"
          : `\\u000${all === 'a' ? 7 : 'b'}`,
    )
    return JSON.parse(`"${escaped}"`) as string
  } catch {
    return undefined
  }
}

/**
 * Makes an empty entry and the folders above it. The path comes from a guest: each part is checked, and no link followed.
 * @returns false when it exists or cannot be made
 */
function makeEntry(root: string, path: string, type: number): boolean {
  const parts = path.split('/').filter((part) => part !== '')
  if (parts.length === 0 || parts.some((part) => part === '.' || part === '..' || part.includes('\0')))
    return false
  let at = root
  try {
    for (const part of parts.slice(0, -1)) {
      at = join(at, part)
      const found = lstatSync(at, { throwIfNoEntry: false })
      if (!found) makeFolder(at)
      else if (!found.isDirectory()) return false
    }
    const target = join(at, parts.at(-1)!)
    if ((type & 0o170_000) === 0o040_000) makeFolder(target)
    else if ((type & 0o170_000) === 0o120_000) symlinkSync('gone', target)
    else {
      writeFileSync(target, '', { flag: 'wx' })
      chmodSync(target, 0o777)
    }
    return true
  } catch {
    return false
  }
}

/** The kernel of a machine owns nothing here, so everyone may do everything. */
function makeFolder(path: string): void {
  mkdirSync(path)
  chmodSync(path, 0o777)
}
