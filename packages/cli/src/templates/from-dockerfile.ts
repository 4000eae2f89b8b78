import type { TemplateBuilder, TemplateClass } from 'e2b'
import type { Sdk } from '../account/sdk.ts'
import { Failure } from '../failure.ts'
import type { Dockerfile } from './dockerfile.ts'

/** What a start command without a check of its own waits (wire spec 5.4). */
const DEFAULT_READY_MS = 20_000

interface Commands {
  startCmd?: string
  readyCmd?: string
}

/** A template of the SDK out of a Dockerfile, with other start and ready commands when they are given. */
export function templateFrom(
  sdk: Sdk,
  { path, content }: Dockerfile,
  directory: string,
  { startCmd, readyCmd }: Commands,
): TemplateClass {
  let builder: TemplateBuilder
  try {
    builder = sdk.Template({ fileContextPath: directory }).fromDockerfile(content)
  } catch (error) {
    throw new Failure(`${path}: ${(error as Error).message}`, { cause: error })
  }
  if (startCmd) return builder.setStartCmd(startCmd, readyCmd ?? sdk.waitForTimeout(DEFAULT_READY_MS))
  return readyCmd ? builder.setReadyCmd(readyCmd) : builder
}
