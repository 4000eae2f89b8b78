import { Command } from 'commander'
import { projectOption } from '../options/project.ts'
import { print } from '../output/out.ts'
import type { SelectFlags } from './select.ts'

interface Publication {
  name: 'publish' | 'unpublish'
  verb: string
  done: string
  isPublic: boolean
}

/** Makes `publish` or `unpublish`, which set the same flag. */
export const publicationCommand = ({ name, verb, done, isPublic }: Publication): Command =>
  new Command(name)
    .description(`${name} sandbox template`)
    .argument('[template]', `template to ${name}, by name or ID`)
    .option('-s, --select', 'select templates from a list')
    .addOption(projectOption())
    .option('-y, --yes', `skip the confirmation`)
    .addHelpText(
      'after',
      `
${isPublic ? 'Everybody on the server can start a published template.' : 'Running sandboxes are not affected.'}

Examples:
  e2b template ${name} my-template
  e2b template ${name} my-template -y`,
    )
    .action(async (template: string | undefined, flags: SelectFlags) => {
      const { connect } = await import('../account/connection.ts')
      const { apiOf, dataOf } = await import('../account/api.ts')
      const { selectTemplates } = await import('./select.ts')
      const connection = await connect()
      for (const templateID of await selectTemplates(connection, verb, template, flags)) {
        dataOf(
          await apiOf(connection).PATCH('/v2/templates/{templateID}', {
            params: { path: { templateID } },
            body: { public: isPublic },
          }),
        )
        await print(`Template ${templateID} has been ${done}`)
      }
    })
