import type { TemplateClass } from 'e2b'

/** Default export of `templates/<name>/template.ts`. */
export interface CatalogTemplate {
  template: TemplateClass
  /** Default: that of `base` on the server. */
  cpuCount?: number
  /** MiB; default as above. */
  memoryMB?: number
}
