import type { TemplateClass } from 'e2b'

/** What `templates/<name>/template.ts` exports by default. */
export interface CatalogTemplate {
  template: TemplateClass
  /** Default: the server's, as of a sandbox of `base`. */
  cpuCount?: number
  /** MiB; default as above. */
  memoryMB?: number
}
