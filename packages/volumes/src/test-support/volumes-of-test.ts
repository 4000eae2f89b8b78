import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { removeMounts } from '../storage/remove-mounts.ts'
import { Volumes, type VolumesOptions } from '../storage/volumes.ts'

export const quietLogger = { info() {}, warn() {} }

const RUN = '/run'
/** Followed by the id of the process and a random part. */
const PREFIX = 'sandlot-test-'

/** Folders for the volumes of one test file, which `end` removes with all mounts. */
export class VolumesOfTest {
  readonly dir: string
  readonly mountDir: string
  readonly #opened: Volumes[] = []

  private constructor(dir: string) {
    this.dir = dir
    this.mountDir = join(RUN, `${PREFIX}${process.pid}-${randomUUID().slice(0, 8)}`)
  }

  static async make(): Promise<VolumesOfTest> {
    await removeLeftovers()
    return new VolumesOfTest(await mkdtemp(join(tmpdir(), 'sandlot-volumes-test-')))
  }

  async open(options: Partial<VolumesOptions> = {}): Promise<Volumes> {
    const { dir, mountDir } = this
    const volumes = await Volumes.open({ dir, mountDir, logger: quietLogger, ...options })
    this.#opened.push(volumes)
    return volumes
  }

  async end(): Promise<void> {
    try {
      for (const volumes of this.#opened) await volumes.close()
    } finally {
      await removeMounts(this.mountDir)
    }
    await rm(this.dir, { recursive: true })
  }
}

/** Ends the mounts of tests whose process was killed, which is how vitest ends one that takes too long. */
async function removeLeftovers(): Promise<void> {
  for (const name of await readdir(RUN)) {
    const [, pid] = /^sandlot-test-(\d+)-[0-9a-f]{8}$/.exec(name) ?? []
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) await removeMounts(join(RUN, name)).catch(() => {})
  }
}
