import { join } from 'node:path'
import type { ClientPackage } from '@sandlot/server'
import { type Config, repositoryRoot } from '../config.ts'
import type { Progress, Step } from '../progress.ts'
import { ensureClientPackages } from './client-packages.ts'
import { ensureDebianTools } from './debian-tools.ts'
import { ensureGoProgram } from './go-program.ts'
import { ensureRunsc, runscPath } from './runsc.ts'

/** Programs that a server needs on the machine. */
export interface Programs {
  runsc: string
  envd: string
  /** Changes whenever envd changes; images with another envd are stale. */
  envdHash: string
  /** Path of the program that makes images, in separate machines. */
  imager: string
  /** Packages for users to install, by file name. */
  clientPackages: Record<string, ClientPackage>
}

export const envdSources = join(repositoryRoot, 'guest', 'envd')
const imagerSources = join(repositoryRoot, 'guest', 'imager')

/** Builds the program that makes images, without the rest of a set-up. */
export const ensureImager = (cache: string, step: Step) =>
  ensureGoProgram('imager', imagerSources, cache, step)

/** Sets up everything that a server needs outside of the home; finished steps are skipped. */
export async function prepareMachine({ settings }: Config, progress: Progress): Promise<Programs> {
  await progress.step('tools', ensureDebianTools)
  await progress.step('runsc', (step) => ensureRunsc(settings.cache, settings.runscSha512, step))
  let envd = { path: '', hash: '' }
  await progress.step('envd', async (step) => {
    const { made, ...binary } = await ensureGoProgram('envd', envdSources, settings.cache, step)
    envd = binary
    return `${binary.hash} ${made ? 'built' : 'ready'}`
  })
  let imager = ''
  await progress.step('imager', async (step) => {
    const { path, hash, made } = await ensureImager(settings.cache, step)
    imager = path
    return `${hash} ${made ? 'built' : 'ready'}`
  })
  let clientPackages: Record<string, ClientPackage> = {}
  await progress.step('clients', async (step) => {
    clientPackages = await ensureClientPackages(repositoryRoot, settings.cache, step)
    return Object.entries(clientPackages)
      .map(([file, made]) => ('missing' in made ? `no ${file} (${made.missing})` : `${file} ${made.hash}`))
      .join(', ')
  })
  return { runsc: runscPath(settings.cache), envd: envd.path, envdHash: envd.hash, imager, clientPackages }
}
