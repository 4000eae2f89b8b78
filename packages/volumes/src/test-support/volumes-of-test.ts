import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { removeMounts } from '../storage/remove-mounts.ts'
import { Volumes, type VolumesOptions } from '../storage/volumes.ts'

export const quietLogger = { info() {}, warn() {} }

/** Folders for the volumes of one test file, which `end` removes with all mounts. */
export class VolumesOfTest {
  readonly dir: string
  readonly mountDir: string
  readonly #opened: Volumes[] = []

  private constructor(dir: string) {
    this.dir = dir
    this.mountDir = `/run/sandlot-test-${randomUUID().slice(0, 8)}`
  }

  static async make(): Promise<VolumesOfTest> {
    return new VolumesOfTest(await mkdtemp(join(tmpdir(), 'sandlot-volumes-test-')))
  }

  async open(options: Partial<VolumesOptions> = {}): Promise<Volumes> {
    const { dir, mountDir } = this
    const volumes = await Volumes.open({ dir, mountDir, logger: quietLogger, ...options })
    this.#opened.push(volumes)
    return volumes
  }

  async end(): Promise<void> {
    for (const volumes of this.#opened) await volumes.close()
    await removeMounts(this.mountDir)
    await rm(this.dir, { recursive: true })
  }
}
