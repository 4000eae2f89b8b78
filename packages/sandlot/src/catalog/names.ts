import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { nearest, SandlotError } from '@sandlot/protocol'
import { catalogNames } from '../../../../templates/names.ts'
import { repositoryRoot } from '../config.ts'

/** Resolves the setting `catalog` to names of templates. @throws SandlotError invalid_request */
export function catalogOf(setting: readonly string[]): string[] {
  if (setting.includes('none')) return []
  if (setting.includes('all')) return catalogNames.filter((name) => existsSync(templateFile(name)))
  for (const name of setting) checkCatalogName(name, 'setting catalog names', ', all and none')
  return [...setting]
}

/** @throws SandlotError invalid_request for an unknown name, suggesting the nearest one */
export function checkCatalogName(name: string, subject: string, more = ''): void {
  if ((catalogNames as readonly string[]).includes(name)) return
  const guess = nearest(name, catalogNames)
  throw new SandlotError(
    'invalid_request',
    `${subject} '${name}', which the catalogue does not have${guess ? `: did you mean '${guess}'?` : `: there is ${catalogNames.join(', ')}${more}`}`,
  )
}

const templateFile = (name: string): string => join(repositoryRoot, 'templates', name, 'template.ts')
