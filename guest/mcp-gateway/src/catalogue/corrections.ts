import type { CatalogueEntry } from './entry.ts'

/**
 * What the table cannot say: arguments and variables of a package that differ from those of the container. From the
 * README of each package.
 */
interface Correction {
  arguments?: string[]
  command?: string
  environment?: Record<string, string>
  /** Environment variable by option. */
  env?: Record<string, string>
  hasFolders?: true
}

export const corrections: Record<string, Correction> = {
  cloudRun: { env: { credentialsPath: 'GOOGLE_APPLICATION_CREDENTIALS' } },
  elevenlabs: { env: { data: 'ELEVENLABS_MCP_BASE_PATH' } },
  filesystem: { arguments: ['{paths}'], hasFolders: true },
  kubectl: { env: { kubeconfig: 'KUBECONFIG' } },
  kubernetes: { env: { configPath: 'KUBECONFIG' } },
  // its default is a file in its package, which belongs to root
  memory: { environment: { MEMORY_FILE_PATH: '{home}/.mcp/memory.jsonl' } },
  // the variable of the container is the name of a file for its entry point
  notion: { env: { internalIntegrationToken: 'NOTION_TOKEN' } },
  sentry: { env: { authToken: 'SENTRY_ACCESS_TOKEN' } },
  sqlite: { arguments: ['--db-path', '{home}/.mcp/sqlite.db'] },
  stripe: { arguments: ['--tools=all'] },
  textToGraphql: {
    env: {
      graphqlAuthType: 'GRAPHQL_AUTH_TYPE',
      modelName: 'MODEL_NAME',
      modelTemperature: 'MODEL_TEMPERATURE',
    },
  },
}

/** Returns the entry with the day before which its dependencies were released, if the month of its release is known. */
export function dated(entry: CatalogueEntry, months: Record<string, string>): CatalogueEntry {
  const { run } = entry
  if (run?.kind !== 'pypi' || !months[run.package]) return entry
  const [year, month] = months[run.package]!.split('-').map(Number) as [number, number]
  const resolvedBefore = new Date(Date.UTC(year, month, 1)).toISOString().slice(0, 10)
  return { ...entry, run: { ...run, resolvedBefore } }
}

/** Returns the entry with what `corrections` says. Throws if there is no such option or no package. */
export function correct(key: string, entry: CatalogueEntry): CatalogueEntry {
  const correction = corrections[key]
  if (!correction) return entry
  const options = { ...entry.options }
  for (const [option, env] of Object.entries(correction.env ?? {})) {
    if (!options[option]) throw new Error(`'${key}' has no option '${option}'`)
    options[option] = { ...options[option], env }
  }
  const { run } = entry
  if (!run || run.kind === 'remote') throw new Error(`'${key}' has no package`)
  return {
    ...entry,
    options,
    run: {
      ...run,
      ...(correction.command && { command: correction.command }),
      ...(correction.arguments && { arguments: correction.arguments }),
      ...(correction.environment && { environment: correction.environment }),
    },
    ...(correction.hasFolders && { hasFolders: true }),
  }
}
