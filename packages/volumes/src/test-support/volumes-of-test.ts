import { randomUUID } from 'node:crypto'
import { mkdtemp, rm, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mounts } from '../linux/mount-info.ts'
import { unmountLazily } from '../linux/system-calls.ts'
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
    const own = (await mounts()).filter(
      ({ mountPoint }) => mountPoint === this.mountDir || mountPoint.startsWith(`${this.mountDir}/`),
    )
    for (const { mountPoint } of own.reverse()) {
      await unmountLazily(mountPoint)
      await rmdir(mountPoint).catch(() => {})
    }
    await rmdir(this.mountDir).catch(() => {})
    if (own.length > 0 && (await mounts()).some(({ mountPoint }) => mountPoint.startsWith(this.mountDir)))
      throw new Error(`volumes are still mounted below ${this.mountDir}`)
    await rm(this.dir, { recursive: true })
  }
}
