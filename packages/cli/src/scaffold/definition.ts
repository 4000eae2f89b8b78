import type { TemplateClass } from 'e2b'
import type { Sdk } from '../account/sdk.ts'

/** One step of a template in the form of the API (wire spec 5.2). */
export interface Step {
  type: 'COPY' | 'RUN' | 'ENV' | 'WORKDIR' | 'USER'
  args: string[]
}

/** A template, independent of the language that it was written in. */
export interface Definition {
  fromImage?: string
  fromTemplate?: string
  steps: Step[]
  startCmd?: string
  readyCmd?: string
}

/** Machine size that a build script requests. */
export interface BuildSizes {
  cpuCount?: number
  memoryMB?: number
}

/** Extracts the steps of a template of the SDK. */
export async function definitionOf(sdk: Sdk, template: TemplateClass): Promise<Definition> {
  return JSON.parse(await sdk.Template.toJSON(template, false)) as Definition
}

/** `[k1, v1, k2, v2]` as pairs. */
export const pairsOf = (args: readonly string[]): [string, string][] =>
  Array.from({ length: Math.floor(args.length / 2) }, (_, at) => [args[2 * at]!, args[2 * at + 1]!])
