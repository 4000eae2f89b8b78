import { chown, mkdir, open, rm, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { mountDevice, unmountLazily } from '@sandlot/linux'
import { diskFull } from '../errors.ts'
import { runCommand } from '../linux/command.ts'
import { ROOT, STAGING } from './layout.ts'

/** Bytes of the volume for each file that it can have: 10 GiB hold 1.3 million files. */
const BYTES_PER_FILE = 8192
/** Smallest file system with a journal that is worth having. */
export const MIN_IMAGE_BYTES = 16 * 2 ** 20
/** Of copies, and of programs that destroy a file system when they are killed. */
const LONG_TIMEOUT_MS = 60 * 60_000
const BLOCK_BYTES = 512
const MAX_THAWS = 10
const THAW_INTERVAL_MS = 500

/** User and group of the default user of sandboxes, who owns the root of a new volume. */
const DEFAULT_USER = 1000
/** Other users of a sandbox may write into a new volume, too, until its root gets another mode. */
const ROOT_MODE = 0o777

/** Makes the folders that a volume has at its top. @param firstId owner on disk of what belongs to root in a sandbox */
export async function makeTopFolders(folder: string, firstId: number): Promise<void> {
  await chown(folder, firstId, firstId)
  const owner = { [ROOT]: firstId + DEFAULT_USER, [STAGING]: firstId }
  for (const [name, id] of Object.entries(owner)) {
    const handle = await mkdir(join(folder, name), { mode: 0o700 }).then(() => open(join(folder, name)))
    try {
      await handle.chmod(name === ROOT ? ROOT_MODE : 0o700)
      await handle.chown(id, id)
    } finally {
      await handle.close()
    }
  }
}

/** Makes a file with an ext4 file system. It takes disk as the files in it do: unused blocks are holes. */
export async function makeImage(image: string, sizeBytes: number, firstId: number): Promise<void> {
  // beside the image, so that a start removes what a killed process left
  const top = `${image}-top`
  await mkdir(top, { mode: 0o700 })
  try {
    await makeTopFolders(top, firstId)
    const handle = await open(image, 'wx', 0o600)
    try {
      await handle.truncate(Math.max(sizeBytes, MIN_IMAGE_BYTES))
      const features = ['-m', '0', '-i', String(BYTES_PER_FILE), '-E', 'assume_storage_prezeroed=1']
      await runCommand('mkfs.ext4', ['-q', '-F', ...features, '-d', top, image])
      await handle.sync()
    } finally {
      await handle.close()
    }
  } finally {
    await rm(top, { recursive: true })
  }
}

/** Mounts an image. Two mounts of one image on this host are one file system. */
export async function mountImage(image: string, target: string): Promise<void> {
  try {
    await mountOnce(image, target)
  } catch {
    // an earlier device of this image may have ended between its search and its use; without one, a damage may be mended
    if (!(await hasDevice(image))) await checkImage(image).catch(() => {})
    await mountOnce(image, target)
  }
}

async function mountOnce(image: string, target: string): Promise<void> {
  const device = await openDevice(image)
  try {
    await mountDevice(device, target, 'ext4', 'discard,noinit_itable')
    // a device that ended before it was mounted may have been given to another image: volumes of others
    if (!(await devicesOf(image)).includes(device)) {
      await unmountLazily(target)
      throw new Error(`${device} is not the device of ${image} any more`)
    }
  } finally {
    // ends with the last mount
    await runCommand('losetup', ['--detach', device]).catch(() => {})
  }
}

/** Opens the loop device of an image; an image that has one keeps it. */
async function openDevice(image: string): Promise<string> {
  const args = ['--find', '--show', '--nooverlap', image]
  const output = await runCommand('losetup', ['--direct-io=on', ...args]).catch(() =>
    runCommand('losetup', args),
  )
  return output.trim()
}

/** Enlarges an image that is mounted. @returns false without CAP_SYS_RESOURCE, which Linux wants for this */
export async function growMounted(image: string, device: string, sizeBytes: number): Promise<boolean> {
  const { size } = await stat(image)
  if (size < sizeBytes) await truncate(image, sizeBytes)
  await runCommand('losetup', ['--set-capacity', device])
  try {
    await runCommand('resize2fs', [device, sizeFor(sizeBytes)], LONG_TIMEOUT_MS)
    return true
  } catch (error) {
    if (/Permission denied/.test((error as Error).message)) return false
    throw error
  }
}

/** Enlarges an image that nothing has mounted. */
export async function growUnmounted(image: string, sizeBytes: number): Promise<void> {
  const { size } = await stat(image)
  if (size < sizeBytes) await truncate(image, sizeBytes)
  // replays the journal; resize2fs asks for a check
  await checkImage(image)
  if ((await fileSystemBytes(image)) >= sizeBytes) return
  await runCommand('resize2fs', [image, sizeFor(sizeBytes)], LONG_TIMEOUT_MS)
}

/** The size is named, as the image is larger after a growth that failed: resize2fs would fill it. */
const sizeFor = (sizeBytes: number): string => `${Math.floor(sizeBytes / 1024)}K`

/** Size of the file system in an image that is not mounted (ext4's superblock: blocks at 0x4 and 0x150, block size at 0x18). */
async function fileSystemBytes(image: string): Promise<number> {
  const handle = await open(image)
  try {
    const { buffer } = await handle.read(Buffer.alloc(1024), 0, 1024, 1024)
    const blocks = buffer.readUInt32LE(0x4) + buffer.readUInt32LE(0x150) * 2 ** 32
    return blocks * 1024 * 2 ** buffer.readUInt32LE(0x18)
  } finally {
    await handle.close()
  }
}

/** Whether a device on this host has the image: something may still have it mounted, although nobody sees where. */
export const hasDevice = async (image: string): Promise<boolean> => (await devicesOf(image)).length > 0

async function devicesOf(image: string): Promise<string[]> {
  const output = await runCommand('losetup', ['--noheadings', '--output', 'NAME', '--associated', image])
  return output.split(/\s+/).filter((name) => name !== '')
}

/** Mends what can be mended without asking. The image must not be mounted. */
async function checkImage(image: string): Promise<void> {
  await runCommand('e2fsck', ['-f', '-p', image], LONG_TIMEOUT_MS).catch((error: Error) => {
    // 1: errors were corrected (e2fsck(8))
    if ((error.cause as { code?: unknown }).code !== 1) throw error
  })
}

/**
 * Copies an image as it is at one moment: programs that write to it wait meanwhile.
 * @param mountPoint where it is mounted
 * @param roomBytes bytes that may be written
 * @returns `reflink` when the file system of the images shares blocks, which takes no time and no disk
 */
export async function copyImage(
  image: string,
  mountPoint: string,
  target: string,
  roomBytes: () => number,
): Promise<'reflink' | 'copy'> {
  await freeze(mountPoint)
  try {
    try {
      await runCommand('cp', ['--reflink=always', '--sparse=always', image, target], LONG_TIMEOUT_MS)
      return 'reflink'
    } catch {
      await rm(target, { force: true })
      if ((await bytesOnDisk(image)) > roomBytes()) throw diskFull()
      await runCommand('cp', ['--reflink=never', '--sparse=always', image, target], LONG_TIMEOUT_MS)
      return 'copy'
    }
  } catch (error) {
    await rm(target, { force: true })
    if (/No space left/.test((error as Error).message)) throw diskFull(error)
    throw error
  } finally {
    await thaw(mountPoint)
  }
}

/** Writes what is in memory to the disk first, which may take long. */
async function freeze(mountPoint: string): Promise<void> {
  try {
    await runCommand('fsfreeze', ['--freeze', mountPoint], LONG_TIMEOUT_MS)
  } catch (error) {
    // a program that is killed meanwhile freezes all the same
    if (((error as Error).cause as { killed?: boolean }).killed) await thaw(mountPoint)
    throw error
  }
}

/** Lets programs write again, which would wait for ever otherwise. File systems that are not frozen stay as they are. */
export async function thaw(mountPoint: string): Promise<void> {
  for (let tries = 0; tries < MAX_THAWS; tries += 1) {
    const failure = await runCommand('fsfreeze', ['--unfreeze', mountPoint]).catch((error: Error) => error)
    if (!(failure instanceof Error) || /Invalid argument/.test(failure.message)) return
    await delay(THAW_INTERVAL_MS)
  }
}

/** Waits until a file is on the disk, in a program: it may take long, and threads for files are few. */
export async function syncFile(path: string): Promise<void> {
  await runCommand('sync', [path], LONG_TIMEOUT_MS)
}

export async function bytesOnDisk(image: string): Promise<number> {
  return (await stat(image)).blocks * BLOCK_BYTES
}
