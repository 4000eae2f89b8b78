import { join } from 'node:path'
import catalogue from '../../catalogue/catalogue.json' with { type: 'json' }
import type { Catalogue, CatalogueEntry } from '../catalogue/entry.ts'
import { type MappedCommands, mappedCommands } from '../install/mapped-commands.ts'
import { isInstalled } from '../install/package.ts'
import type { Places } from '../places.ts'

/** Returns a line for each server of the catalogue: its name, its options, and how it is run. */
export function list(places: Places): string[] {
  const mapped = mappedCommands(places)
  return Object.entries(catalogue as Catalogue).map(([key, entry]) => {
    const options = Object.entries(entry.options).map(
      ([name, { required }]) => `${name}${required ? '*' : ''}`,
    )
    return `${key}(${options.join(', ')}) ${howToRun(key, entry, mapped, places)}`
  })
}

function howToRun(
  key: string,
  { run, image }: CatalogueEntry,
  mapped: MappedCommands,
  places: Places,
): string {
  if (mapped[key]) return `runs ${mapped[key].join(' ')}`
  if (!run) return `not available: only the image ${image}`
  if (run.kind === 'remote') return `at ${run.url}`
  const state = isInstalled(run, join(places.installed, key)) ? ', installed' : ''
  return `${run.kind} ${run.package} ${run.version}${state}`
}
