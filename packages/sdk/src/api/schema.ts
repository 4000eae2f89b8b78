import type { components as Described } from '../gen/api.ts'

/**
 * Bodies of the REST API by name: the schemas of `/openapi.json`, and those of routes that Sandlot does not implement
 * yet.
 */
export interface components {
  schemas: Described['schemas'] & LaterSchemas
  responses: Described['responses']
  parameters: Described['parameters']
  requestBodies: Described['requestBodies']
  headers: Described['headers']
  pathItems: Described['pathItems']
}

/** Type of the body with this name. */
export type Schema<Name extends keyof components['schemas']> = components['schemas'][Name]

/**
 * Bodies for team metrics (wire spec, section 2.8), and names that only E2B's document
 * has.
 */
interface LaterSchemas {
  MinFreeDiskMb: number
  SandboxAutoResumeEnabled: boolean

  TeamMetric: {
    timestamp: string
    timestampUnix: number
    concurrentSandboxes: number
    sandboxStartRate: number
  }
  MaxTeamMetric: { timestamp: string; timestampUnix: number; value: number }
}
