import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { buildCli, ENTRY, OFFICIAL_ENTRY } from './cli/command.ts'
import { CliUser } from './cli-user.ts'
import { webBrowser } from './web-browser.ts'

const { env, home, domain } = inject('server')
const main = fileURLToPath(new URL('../../packages/sandlot/src/main.ts', import.meta.url))
let cli: CliUser
beforeAll(buildCli)
afterEach(() => cli.close())

/** Runs `e2b auth login`, with a person at the browser who pastes `credential` and presses a button. */
async function logIn(credential: string, decision: 'allow' | 'deny' = 'allow') {
  const login = cli.start('auth', 'login')
  const browser = webBrowser(`https://${domain}`)
  await browser.open(await login.opened())
  await browser.submit({ credential })
  await browser.follow()
  await browser.submit({ decision })
  // to the CLI, and from there to the page that shows the outcome
  await browser.follow()
  const outcome = await browser.follow()
  return { outcome, ...(await login.ended) }
}

const apiStatus = async (headers: Record<string, string>) =>
  (await fetch(`${env.E2B_API_URL}/v2/sandboxes`, { headers, signal: AbortSignal.timeout(10_000) })).status

describe.each([
  ['the official CLI', OFFICIAL_ENTRY],
  ['our CLI', ENTRY],
])('%s', (_, program) => {
  beforeEach(() => void (cli = new CliUser(program, env)))

  test('signs in with a key, and then works with nothing but the configuration file', async () => {
    const { code, output, outcome } = await logIn(env.E2B_API_KEY!)
    expect([code, output]).toEqual([0, expect.stringContaining('Logged in as admin@sandlot.localhost')])
    expect(outcome.text).toContain('The command line is signed in')
    const config = cli.config()
    expect(config).toMatchObject({
      identity: { email: 'admin@sandlot.localhost' },
      oauth: {
        token_endpoint: `https://${domain}/oauth/token`,
        revoke_endpoint: `https://${domain}/oauth/revoke`,
      },
      projectName: 'default',
      projectApiKey: expect.stringMatching(/^e2b_[0-9a-f]{40}$/),
    })
    expect(cli.configMode()).toBe(0o600)
    expect((await cli.run('auth', 'info')).output).toContain('admin@sandlot.localhost')
    const created = await cli.run('sandbox', 'create', 'base', '--detach')
    const sandboxId = /\bi[a-z0-9]{20}\b/.exec(created.output)?.[0]
    expect(sandboxId, created.output).toBeDefined()
    expect((await cli.run('sandbox', 'list')).output).toContain(sandboxId)
    expect((await cli.run('sandbox', 'kill', sandboxId!)).code).toBe(0)
  })

  test('signs in with the link that `sandlot login-link` prints', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [main, 'login-link', '--home', home], {
      timeout: 30_000,
    })
    expect(await logIn(stdout.trim())).toMatchObject({ code: 0 })
  })

  test('a refusal in the browser ends the login, and the CLI stays signed out', async () => {
    const { outcome, output } = await logIn(env.E2B_API_KEY!, 'deny')
    expect(outcome.text).toContain('The command line is not signed in')
    expect(output).toContain('access was denied in the browser')
    expect(cli.config).toThrow('ENOENT')
  })

  test('logging out ends the tokens and the key', async () => {
    await logIn(env.E2B_API_KEY!)
    const { tokens, projectApiKey } = cli.config()
    const credentials: Record<string, string>[] = [
      { authorization: `Bearer ${tokens.access_token}` },
      { 'x-api-key': projectApiKey },
    ]
    for (const headers of credentials) expect(await apiStatus(headers)).toBe(200)
    expect((await cli.run('auth', 'logout')).code).toBe(0)
    for (const headers of credentials) expect(await apiStatus(headers)).toBe(401)
  })

  test('refreshes an access token that has expired', async () => {
    await logIn(env.E2B_API_KEY!)
    const before = cli.config()
    const [header, payload, signature] = before.tokens.access_token.split('.')
    const claims = JSON.parse(Buffer.from(payload!, 'base64url').toString())
    const past = Buffer.from(JSON.stringify({ ...claims, exp: claims.iat - 60 })).toString('base64url')
    cli.writeConfig({
      ...before,
      tokens: { ...before.tokens, access_token: [header, past, signature].join('.') },
    })
    await cli.run('auth', 'configure')
    const after = cli.config()
    expect(after.tokens.refresh_token).not.toBe(before.tokens.refresh_token)
    expect(await apiStatus({ authorization: `Bearer ${after.tokens.access_token}` })).toBe(200)
  })
})
