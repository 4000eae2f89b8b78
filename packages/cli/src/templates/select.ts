import type { components } from 'e2b'
import { apiOf, dataOf } from '../account/api.ts'
import type { Connection } from '../account/connection.ts'
import { Failure } from '../failure.ts'
import { projectFromEnvironment } from '../options/project.ts'

export type ListedTemplate = components['schemas']['Template']

/** Lists the project's templates, each with its oldest name first. */
export async function listTemplates(connection: Connection, project?: string): Promise<ListedTemplate[]> {
  const teamID = project ?? projectFromEnvironment()
  return dataOf(
    await apiOf(connection).GET('/templates', { params: { query: { ...(teamID && { teamID }) } } }),
  )
}

export interface SelectFlags {
  select?: boolean
  project?: string
  yes?: boolean
}

/**
 * Selects the templates for a command: the named one, or with `-s` those chosen interactively. Asks for confirmation
 * unless `-y` is given.
 *
 * @throws Failure when no template was named, or the user declines
 */
export async function selectTemplates(
  connection: Connection,
  verb: string,
  named: string | undefined,
  { select, project, yes }: SelectFlags,
): Promise<string[]> {
  if (named === undefined && !select) {
    throw new Failure('No sandbox templates selected. Name one, or choose with -s.')
  }
  const { chooseSeveral, confirm } = await import('../output/prompts.ts')
  const chosen = named === undefined ? await choose() : [named]
  if (!yes) {
    const isSure = await confirm(`${verb} ${chosen.join(', ')}?`, { instead: '-y skips the question.' })
    if (!isSure) throw new Failure('Nothing was changed.')
  }
  return chosen

  async function choose(): Promise<string[]> {
    const templates = await listTemplates(connection, project)
    if (templates.length === 0) throw new Failure('There are no templates to choose from.')
    const options = templates.map(({ templateID, names, aliases }) => ({
      value: templateID,
      label: names?.[0] ?? aliases[0] ?? templateID,
      hint: templateID,
    }))
    return chooseSeveral(`${verb} which templates`, options, { instead: 'Name one instead.' })
  }
}
