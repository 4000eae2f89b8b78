import { Command } from 'commander'
import { projectOption } from '../../options/project.ts'
import { print } from '../../output/out.ts'
import type { SelectFlags } from '../../templates/select.ts'

export const remove = (): Command =>
  new Command('delete')
    .description('delete sandbox template')
    .argument('[template]', 'template to delete, by name or ID')
    .option('-s, --select', 'select templates from a list')
    .addOption(projectOption())
    .option('-y, --yes', 'skip the confirmation')
    .addHelpText(
      'after',
      `
Examples:
  e2b template delete my-template
  e2b template delete --select`,
    )
    .action(async (template: string | undefined, flags: SelectFlags) => {
      const { connect } = await import('../../account/connection.ts')
      const { apiOf, dataOf } = await import('../../account/api.ts')
      const { selectTemplates } = await import('../../templates/select.ts')
      const connection = await connect()
      for (const templateID of await selectTemplates(connection, 'Delete', template, flags)) {
        dataOf(
          await apiOf(connection).DELETE('/templates/{templateID}', { params: { path: { templateID } } }),
        )
        await print(`Template ${templateID} has been deleted`)
      }
    })
