import { Command, Option } from 'commander'
import { Failure } from '../../failure.ts'
import { print } from '../../output/out.ts'

export const configure = (): Command =>
  new Command('configure')
    .description('choose the project that commands work on')
    .addOption(new Option('-t, --project <project-id>', 'choose it without asking'))
    .addHelpText(
      'after',
      `
Examples:
  e2b auth configure
  e2b auth configure -t 0b6c…`,
    )
    .action(async ({ project }: { project?: string }) => {
      const { readConfig, writeConfig } = await import('../../account/user-config.ts')
      const config = readConfig()
      if (!config) throw new Failure('No user config found, run `e2b auth login` to log in first.')
      const { freshAccessToken } = await import('../../account/tokens.ts')
      const { listTeams } = await import('../../account/teams.ts')
      const teams = await listTeams(await freshAccessToken(config))
      const chosenId = project ?? (await ask(teams, config.projectId))
      const team = teams.find((each) => each.teamID === chosenId)
      if (!team) {
        const known = teams.map((each) => `${each.teamID} (${each.name})`).join(', ')
        throw new Failure(`There is no project '${chosenId}'. Your projects: ${known}.`)
      }
      // `freshAccessToken` may have renewed the tokens, so the config is read again.
      writeConfig({
        ...(readConfig() ?? config),
        projectName: team.name,
        projectId: team.teamID,
        projectApiKey: team.apiKey,
      })
      await print(`Project ${team.name} (${team.teamID}) selected.`)
    })

async function ask(teams: { teamID: string; name: string }[], current?: string): Promise<string> {
  const { choose } = await import('../../output/prompts.ts')
  const options = teams.map(({ teamID, name }) => ({ value: teamID, label: name, hint: teamID }))
  return choose('Select project', options, { initial: current, instead: 'Name it with -t <project-id>.' })
}
