import { existsSync } from 'node:fs'
import type { Config } from '../config.ts'
import type { Settings } from '../settings.ts'
import { allTools, isPresent, missingTools, type Tool } from '../setup/debian-tools.ts'
import { findExecutable, findGo } from '../setup/go.ts'
import { findGoProgram } from '../setup/go-program.ts'
import { envdSources } from '../setup/index.ts'
import { isPinned, RUNSC_VERSION, runscPath, runscVersion } from '../setup/runsc.ts'
import { knownHashes, sha512Of } from '../setup/runsc-release.ts'
import type { Verdict } from './finding.ts'

export function node(): Verdict {
  return { status: 'ok', detail: `${process.versions.node} (${process.execPath})` }
}

export async function go(): Promise<Verdict> {
  try {
    const { path, version } = await findGo()
    return { status: 'ok', detail: `${version} (${path})` }
  } catch (error) {
    return {
      status: 'warning',
      detail: 'only needed for programs that are not built yet',
      mend: (error as Error).message,
    }
  }
}

const packagesOf = (tools: readonly Tool[]): string[] => [...new Set(tools.map((tool) => tool.package))]

export function debianTools(): Verdict {
  const missing = packagesOf(missingTools())
  if (missing.length === 0)
    return {
      status: 'ok',
      detail: packagesOf(allTools()).join(' '),
    }
  const canInstall = process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')
  return {
    status: canInstall ? 'warning' : 'failed',
    detail: `missing: ${missing.join(' ')}`,
    mend: canInstall ? 'npm start installs them' : `apt-get install ${missing.join(' ')}`,
  }
}

/** Checks for the tool that makes EROFS images; gVisor reads them without support of the host's kernel. */
export function erofs(): Verdict {
  const tool = allTools().find((candidate) => candidate.package === 'erofs-utils')!
  if (isPresent(tool))
    return { status: 'ok', detail: 'mkfs.erofs is installed; the kernel does not need EROFS' }
  return { status: 'warning', detail: 'mkfs.erofs is not installed', mend: 'npm start installs erofs-utils' }
}

export async function runsc({ settings }: Config): Promise<Verdict> {
  const path = runscPath(settings.cache)
  if (!existsSync(path))
    return { status: 'warning', detail: 'not installed yet', mend: `npm start gets ${RUNSC_VERSION}` }
  const version = await runscVersion(path)
  if (isPinned(version)) return { status: 'ok', detail: `${version} (${path})${await unusedRunsc(settings)}` }
  return {
    status: 'failed',
    detail: `${path} says ${version}`,
    mend: `rm ${path}; npm start gets ${RUNSC_VERSION}`,
  }
}

/** Mentions a runsc on PATH that is not used to run sandboxes. */
async function unusedRunsc({ runscSha512 }: Settings): Promise<string> {
  const onPath = findExecutable('runsc')
  if (!onPath || knownHashes(runscSha512).includes(await sha512Of(onPath))) return ''
  return `; ${onPath} is not used: its sha512 is neither in the source nor the setting runscSha512`
}

export async function envd({ settings }: Config): Promise<Verdict> {
  const binary = await findGoProgram('envd', envdSources, settings.cache)
  if (existsSync(binary.path)) return { status: 'ok', detail: `build ${binary.hash}` }
  return { status: 'warning', detail: 'not built yet', mend: 'npm start builds it' }
}
