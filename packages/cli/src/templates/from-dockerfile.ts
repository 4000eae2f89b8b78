import type { TemplateBuilder, TemplateClass } from 'e2b'
import type { Sdk } from '../account/sdk.ts'
import { Failure } from '../failure.ts'
import type { Dockerfile } from './dockerfile.ts'

/** Ready command for a start command without one (wire spec 5.4). */
const DEFAULT_READY_MS = 20_000

interface Commands {
  startCmd?: string
  readyCmd?: string
}

/** Makes a template of the SDK from a Dockerfile; start and ready commands of the options override those of the file. */
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
