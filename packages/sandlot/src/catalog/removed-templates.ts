import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeAtomically } from '../write-atomically.ts'

/** Templates of the catalog that the administrator removed from a home, so that starts do not build them again. */
export class RemovedTemplates {
  readonly #file: string

  constructor(home: string) {
    this.#file = join(home, 'removed-templates.json')
  }

  all(): string[] {
    try {
      const content: unknown = JSON.parse(readFileSync(this.#file, 'utf8'))
      return Array.isArray(content) ? content.filter((name) => typeof name === 'string') : []
    } catch {
      return []
    }
  }

  add(name: string): void {
    this.#write([...new Set([...this.all(), name])])
  }

  delete(name: string): void {
    const names = this.all()
    if (names.includes(name)) this.#write(names.filter((other) => other !== name))
  }

  #write(names: string[]): void {
    writeAtomically(this.#file, `${JSON.stringify(names)}\n`, 0o600)
  }
}
