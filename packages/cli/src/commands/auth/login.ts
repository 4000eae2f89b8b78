import { Command } from 'commander'
import packageJson from '../../../package.json' with { type: 'json' }
import { print } from '../../output/out.ts'

export const login = (): Command =>
  new Command('login')
    .description('log in to CLI')
    .addHelpText(
      'after',
      `
Opens the browser and saves the login in ~/.e2b/config.json. Scripts and CI set E2B_API_KEY instead.

Examples:
  e2b auth login
  E2B_DOMAIN=sandboxes.example.com e2b auth login`,
    )
    .action(run)

async function run(): Promise<void> {
  const { listenForLogin } = await import('../../account/login-callback.ts')
  const { openBrowser } = await import('../../account/browser.ts')
  const { defaultTeam, listTeams } = await import('../../account/teams.ts')
  const { docsUrl } = await import('../../account/servers.ts')
  const { writeConfig } = await import('../../account/user-config.ts')

  const page = `${docsUrl()}/api/cli`
  const callback = await listenForLogin(page)
  try {
    const query = new URLSearchParams({ next: callback.url, cliVersion: packageJson.version })
    await print(`Attempting to log in...\nIf the browser does not open, visit ${page}?${query}`)
    openBrowser(`${page}?${query}`)
    const grant = await callback.grant
    const team = defaultTeam(await listTeams(grant.accessToken))
    writeConfig({
      version: 2,
      identity: { email: grant.email },
      oauth: {
        token_endpoint: grant.tokenEndpoint,
        revoke_endpoint: grant.revokeEndpoint,
        client_id: grant.clientId,
      },
      tokens: { access_token: grant.accessToken, refresh_token: grant.refreshToken },
      last_refresh: new Date().toISOString(),
      projectName: team.name,
      projectId: team.teamID,
      projectApiKey: team.apiKey,
    })
    await print(`Logged in as ${grant.email} with selected project ${team.name}`)
  } finally {
    callback.close()
  }
}
