import { readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pathExists } from '../host/path-exists.ts'
import { FolderStore } from '../objects/folder-store.ts'
import { manifestKey } from '../objects/object-store.ts'
import { decodeManifest } from '../packed/manifest.ts'
import { readPackedFile } from '../packed/read-file.ts'
import { MANIFEST } from './checkpoint-folder.ts'
import type { CheckpointManifest } from './checkpoint-manifest.ts'

/** Disk space of a template or snapshot, without the base image, which all of them share. */
export interface TemplateSize {
  checkpointBytes: number
  /** Size of its own image, which other templates may use too. */
  imageBytes: number
}

/**
 * Reads the sizes from a home's files, with or without a running server. @returns undefined when the checkpoint is not on
 * this machine
 */
export async function templateSize(home: string, checkpointId: string): Promise<TemplateSize | undefined> {
  const text =
    (await readFile(join(home, 'checkpoints', checkpointId, MANIFEST), 'utf8').catch(() => undefined)) ??
    (await packedManifest(join(home, 'packed'), checkpointId).catch(() => undefined))
  if (text === undefined) return undefined
  const { sizeBytes, imagePath } = JSON.parse(text) as CheckpointManifest
  const isOwn = dirname(imagePath) === join(home, 'images')
  const imageBytes = isOwn
    ? await stat(imagePath).then(
        ({ size }) => size,
        () => 0,
      )
    : 0
  return { checkpointBytes: sizeBytes, imageBytes }
}

async function packedManifest(dir: string, checkpointId: string): Promise<string | undefined> {
  if (!(await pathExists(dir))) return undefined
  const store = await FolderStore.open(dir)
  const content = await store.get(manifestKey(checkpointId))
  if (!content) return undefined
  const file = await readPackedFile(store, decodeManifest(checkpointId, content, store.name), MANIFEST)
  return file?.toString('utf8')
}
