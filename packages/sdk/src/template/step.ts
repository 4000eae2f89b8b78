import type { PathLike } from 'node:fs'
import { TemplateError } from '../errors.ts'
import { pathText, sourcePath } from './path-text.ts'
import type { CopyOptions } from './types.ts'

/** One step of a build as the API takes it (wire spec, section 5.2). */
export interface Step {
  type: 'COPY' | 'RUN' | 'ENV' | 'WORKDIR' | 'USER'
  args: string[]
  /** Run the step again even if its result is cached. */
  force?: boolean
  forceUpload?: true
  resolveSymlinks?: boolean
  gzip?: boolean
  /** Hash of the copied files; computed when the template is built. */
  filesHash?: string
}

/** @throws {@link TemplateError} if the source is not in the context directory */
export function copyStep(src: PathLike, dest: PathLike, options: CopyOptions = {}): Step {
  const { forceUpload, user, mode, resolveSymlinks, gzip } = options
  return {
    type: 'COPY',
    args: [sourcePath(src), pathText(dest), user ?? '', mode ? octal(mode) : ''],
    ...(forceUpload && { force: true }),
    forceUpload,
    resolveSymlinks,
    gzip,
  }
}

export const runStep = (command: string, user?: string): Step => ({
  type: 'RUN',
  args: user ? [command, user] : [command],
})

export const envStep = (envs: Iterable<[string, string]>): Step => ({ type: 'ENV', args: [...envs].flat() })

export const workdirStep = (path: PathLike): Step => ({ type: 'WORKDIR', args: [pathText(path)] })

export const userStep = (user: string): Step => ({ type: 'USER', args: [user] })

/** Formats permission bits for chmod: four octal digits. */
export function octal(mode: number): string {
  if (!Number.isInteger(mode) || mode < 0 || mode > 0o7777)
    throw new TemplateError(
      `Invalid mode ${mode}: permission bits are between 0o0 and 0o7777, for example 0o755.`,
    )
  return mode.toString(8).padStart(4, '0')
}
