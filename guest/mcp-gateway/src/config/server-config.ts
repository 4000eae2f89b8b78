import type { CatalogueEntry } from '../catalogue/entry.ts'

export type OptionValue = string | number | boolean | Array<string | number | boolean>

/** A server as the caller of `Sandbox.create({ mcp })` asked for it. */
export type ServerConfig =
  | { kind: 'catalogue'; key: string; entry: CatalogueEntry; options: Record<string, OptionValue> }
  | {
      kind: 'github'
      key: string
      owner: string
      repository: string
      runCommand: string
      installCommand?: string
      environment: Record<string, string>
    }
