import type { TemplateClass } from 'e2b'
import type { Sdk } from '../account/sdk.ts'

/** One step of a template as the API takes it (wire spec 5.2). */
export interface Step {
  type: 'COPY' | 'RUN' | 'ENV' | 'WORKDIR' | 'USER'
  args: string[]
}

/** What a template is made of, whatever language it was written in. */
export interface Definition {
  fromImage?: string
  fromTemplate?: string
  steps: Step[]
  startCmd?: string
  readyCmd?: string
}

/** Sizes of the machine that a build script asks for. */
export interface BuildSizes {
  cpuCount?: number
  memoryMB?: number
}

/** Reads a template of the SDK back into its steps. */
export async function definitionOf(sdk: Sdk, template: TemplateClass): Promise<Definition> {
  return JSON.parse(await sdk.Template.toJSON(template, false)) as Definition
}

/** `[k1, v1, k2, v2]` as pairs. */
export const pairsOf = (args: readonly string[]): [string, string][] =>
  Array.from({ length: Math.floor(args.length / 2) }, (_, at) => [args[2 * at]!, args[2 * at + 1]!])
