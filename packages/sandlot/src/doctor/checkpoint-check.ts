import { join } from 'node:path'
import { AdoptedBases, CheckpointFolder, findIncompatibility } from '@sandlot/node'
import type { Config } from '../config.ts'
import { RUNSC_VERSION } from '../setup/runsc.ts'
import type { Verdict } from './finding.ts'

const SHOWN = 3

/** Reports checkpoints with a memory that the runsc of this version cannot restore; useful before an upgrade. */
export async function checkpoints({ settings }: Config): Promise<Verdict> {
  const folder = new CheckpointFolder(
    join(settings.home, 'checkpoints'),
    new AdoptedBases(join(settings.home, 'adopted')),
  )
  const ids = await folder.list().catch(() => [])
  const misfits: string[] = []
  let isBootable = true
  for (const id of ids) {
    const manifest = await folder.read(id).catch(() => undefined)
    const misfit = manifest?.hasMemory && findIncompatibility(manifest, `release-${RUNSC_VERSION}`)
    if (!misfit) continue
    misfits.push(`${id}: ${misfit}`)
    isBootable &&= await folder.hasFiles(id)
  }
  if (misfits.length === 0) return { status: 'ok', detail: `${ids.length}, all usable with their memory` }
  const more = misfits.length > SHOWN ? ` and ${misfits.length - SHOWN} more` : ''
  return {
    status: 'warning',
    detail: `${misfits.length} of ${ids.length} would start without their memory: ${misfits.slice(0, SHOWN).join('; ')}${more}`,
    mend: isBootable
      ? 'with the version that saved them, resume the sandboxes whose memory you need; the others boot from their file system'
      : 'start the version that saved them and pause them again: some have no file system to boot from',
  }
}
