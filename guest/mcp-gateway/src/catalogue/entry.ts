/** How a server of the catalogue is run: from a package, or by connecting to its provider. */
export type HowToRun =
  | {
      kind: 'npm' | 'pypi'
      package: string
      version: string
      /**
       * Day before which its dependencies were released: the first after the month of its own release. Many servers
       * accept any version of the MCP SDK, and end at once with a later one that changed its API.
       */
      resolvedBefore?: string
      /** Name of the command; default: the package's only one, or the one that is named like the package. */
      command?: string
      /** Arguments; `{option}` is the option's value, `{home}` the home directory. Left out if the option is not given. */
      arguments?: string[]
      /** Variables whatever the options are, for example where it keeps its data; `{home}` as above. */
      environment?: Record<string, string>
    }
  | {
      kind: 'remote'
      transport: 'streamable-http' | 'sse'
      url: string
      /** `${VARIABLE}` is the value of the option with that environment variable. */
      headers?: Record<string, string>
    }

/** One server of the catalogue. */
export interface CatalogueEntry {
  /** Image that E2B runs for this key. */
  image?: string
  /** Project on GitHub that the image is built from. */
  source?: string
  /** Options by name. One without `env` and without a place in `arguments` concerns only the container. */
  options: Record<string, { env?: string; required?: true }>
  /** Absent if no package and no endpoint is known. */
  run?: HowToRun
  /** Whether the package is known to be of the source project; else it is another project for the same service. */
  isSameProject?: boolean
  /** Whether its options say which folders it may use, so that clients' roots must not replace these. */
  hasFolders?: true
}

export type Catalogue = Record<string, CatalogueEntry>
