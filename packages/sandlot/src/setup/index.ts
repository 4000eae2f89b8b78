import { join } from 'node:path'
import { type Config, repositoryRoot } from '../config.ts'
import type { Progress } from '../progress.ts'
import { ensureDebianTools } from './debian-tools.ts'
import { ensureEnvd } from './envd.ts'
import { ensureRunsc, runscPath } from './runsc.ts'

/** Programs that the node needs, ready to run. */
export interface Programs {
  runsc: string
  envd: string
  /** Changes whenever envd does: images that hold another one are stale. */
  envdHash: string
}

export const envdSources = join(repositoryRoot, 'guest', 'envd')

/** Everything outside the home that a server needs; each step is skipped when it is done. */
export async function prepareMachine({ settings }: Config, progress: Progress): Promise<Programs> {
  await progress.step('tools', ensureDebianTools)
  await progress.step('runsc', (step) => ensureRunsc(settings.cache, step))
  let envd = { path: '', hash: '' }
  await progress.step('envd', async (step) => {
    const { made, ...binary } = await ensureEnvd(envdSources, settings.cache, step)
    envd = binary
    return `${binary.hash} ${made ? 'built' : 'ready'}`
  })
  return { runsc: runscPath(settings.cache), envd: envd.path, envdHash: envd.hash }
}
