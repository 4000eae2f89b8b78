import type { Step } from './step.ts'

/** Image or template that a template starts from. */
export type Base = { fromImage: string; registry?: Registry } | { fromTemplate: string }

/** Credentials for an image that is not public (wire spec, section 5.1). */
export type Registry =
  | { type: 'registry'; username: string; password: string }
  | { type: 'aws'; awsAccessKeyId: string; awsSecretAccessKey: string; awsRegion: string }
  | { type: 'gcp'; serviceAccountJson: string }

/** A template as the builder has collected it. */
export interface Definition {
  base: Base
  steps: Step[]
  startCmd?: string
  readyCmd?: string
  /** Build every step again, from the base on, without the cache. */
  force: boolean
  /** Known to Sandlot only: commands of sandboxes get the variables that the steps set. */
  templateEnvAtRuntime?: boolean
}

/** Body of the request that starts a build. */
export interface SerializedTemplate {
  startCmd?: string
  readyCmd?: string
  steps: Step[]
  force: boolean
  templateEnvAtRuntime?: boolean
  fromImage?: string
  fromImageRegistry?: Registry
  fromTemplate?: string
}

/** Keys without a value are left out. */
export function serialize({
  base,
  steps,
  startCmd,
  readyCmd,
  force,
  templateEnvAtRuntime,
}: Definition): SerializedTemplate {
  const from =
    'fromTemplate' in base
      ? { fromTemplate: base.fromTemplate }
      : { fromImage: base.fromImage, ...(base.registry && { fromImageRegistry: base.registry }) }
  return {
    ...(startCmd !== undefined && { startCmd }),
    ...(readyCmd !== undefined && { readyCmd }),
    steps,
    force,
    ...(templateEnvAtRuntime && { templateEnvAtRuntime }),
    ...from,
  }
}
