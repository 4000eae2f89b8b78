import { beforeAll, describe, expect, it } from 'vitest'
import { buildCli, e2b } from './command.ts'

beforeAll(buildCli)

const NO_KEY = { E2B_API_KEY: undefined, E2B_ACCESS_TOKEN: undefined }

describe('bad input is one clear line, an exit code and no stack trace', () => {
  it.each<[string, string[], RegExp, Record<string, string | undefined>?]>([
    ['a missing key', ['sandbox', 'list'], /You must be logged in.*`e2b auth login`.*E2B_API_KEY/, NO_KEY],
    [
      'a malformed key',
      ['sandbox', 'list'],
      /^\[401\] Unauthorized: the API key is malformed.*Check E2B_API_KEY/,
      { E2B_API_KEY: 'bad' },
    ],
    [
      'a wrong key',
      ['template', 'list'],
      /^\[401\] Unauthorized: /,
      { E2B_API_KEY: `e2b_${'0'.repeat(40)}` },
    ],
    [
      'a server that cannot be reached',
      ['sandbox', 'list'],
      /^Cannot reach .*:29999 \(ECONNREFUSED\): is the server running.*`e2b doctor`/,
      { E2B_API_URL: 'http://127.0.0.1:29999' },
    ],
    [
      'a domain without an address',
      ['sandbox', 'list'],
      /^Cannot reach api\.nowhere\.invalid \((ENOTFOUND|EAI_AGAIN)\)/,
      { E2B_API_URL: undefined, E2B_DOMAIN: 'nowhere.invalid' },
    ],
    [
      'an unknown sandbox (info)',
      ['sandbox', 'info', 'inope'],
      /^Sandbox inope wasn't found\. `e2b sandbox list/,
    ],
    ['an unknown sandbox (exec)', ['sandbox', 'exec', 'inope', 'ls'], /^Sandbox inope wasn't found/],
    ['an unknown sandbox (connect)', ['sandbox', 'connect', 'inope'], /^Sandbox inope wasn't found/],
    ['an unknown sandbox (resume)', ['sandbox', 'resume', 'inope'], /^Sandbox inope wasn't found/],
    ['an unknown sandbox (logs)', ['sandbox', 'logs', 'inope'], /^Sandbox inope wasn't found/],
    ['an unknown sandbox (egress)', ['sandbox', 'egress', 'inope'], /^Sandbox inope wasn't found/],
    ['an unknown sandbox (metrics)', ['sandbox', 'metrics', 'inope'], /^Sandbox inope wasn't found/],
    ['an unknown sandbox (cp)', ['sandbox', 'cp', '/etc/passwd', 'inope:x'], /^Sandbox inope wasn't found/],
    [
      'an unknown sandbox (port-forward)',
      ['sandbox', 'port-forward', 'inope', '0:80'],
      /^Sandbox inope wasn't found/,
    ],
    [
      'a sandbox ID with a slash',
      ['sandbox', 'info', '../templates'],
      /'\.\.\/templates' is not a sandbox ID/,
    ],
    [
      'an unknown template',
      ['sandbox', 'create', 'nope', '-d'],
      /^\[404\] Not Found: template 'nope' not found/,
    ],
    ['no sandbox to kill', ['sandbox', 'kill'], /^You need to specify \[sandboxIDs\.\.\.\] or use -a/],
    ['all and some to kill', ['sandbox', 'kill', '-a', 'i1'], /^You cannot use -a/],
    ['a format', ['sandbox', 'list', '-f', 'yaml'], /Unsupported output format: yaml\. Use json or pretty/],
    ['a state', ['sandbox', 'list', '-s', 'asleep'], /'asleep' is not a state/],
    ['metadata', ['sandbox', 'list', '-m', 'novalue'], /'novalue' is not key=value/],
    ['a limit', ['sandbox', 'list', '-l', 'x'], /Give a whole number of at least 0/],
    ['a date', ['sandbox', 'list', '--started-after', 'yesterday'], /expected an ISO 8601 timestamp/],
    ['an order', ['sandbox', 'list', '-o', 'up'], /expected 'asc' or 'desc'/],
    ['a short timeout', ['sandbox', 'create', '-d', '--timeout', '5'], /of seconds of at least 30/],
    ['a lifecycle', ['sandbox', 'create', '-d', '--lifecycle.ontimeout', 'x'], /must be "pause" or "kill"/],
    [
      'autoresume without pause',
      ['sandbox', 'create', '-d', '--lifecycle.autoresume'],
      /^--lifecycle\.autoresume requires/,
    ],
    ['a variable', ['sandbox', 'create', '-d', '-e', '1X'], /'1X' is not KEY=VALUE/],
    ['a template name', ['template', 'create', 'Bad Name!'], /is not a template name/],
    ['an odd memory size', ['template', 'create', 'x', '--memory-mb', '1023'], /even number of megabytes/],
    [
      'no Dockerfile',
      ['template', 'create', 'x', '-p', '/var'],
      /^No e2b\.Dockerfile or Dockerfile found in \/var/,
    ],
    ['a directory', ['template', 'create', 'x', '-p', '/nope'], /^There is no directory \/nope/],
    [
      'a language',
      ['template', 'init', '-n', 'x', '-l', 'rust'],
      /Must be one of: typescript, python-sync, python-async/,
    ],
    [
      'a question without a terminal',
      ['template', 'init', '-l', 'typescript'],
      /^Cannot ask without a terminal: .* -n <name>/,
    ],
    ['no template to delete', ['template', 'delete'], /^No sandbox templates selected/],
    ['the old build', ['template', 'build'], /DEPRECATION WARNING.*`e2b template migrate`/],
    [
      'a copy between two local paths',
      ['sandbox', 'cp', 'a', 'b'],
      /^Exactly one of the two paths must be in a sandbox/,
    ],
    ['a port', ['sandbox', 'port-forward', 'i1', '99999'], /not a port mapping/],
    ['configure without a login', ['auth', 'configure'], /^No user config found/],
  ])('%s', async (_, args, message, env) => {
    const { code, stdout, stderr } = await e2b(args, { env })
    expect(code).not.toBe(0)
    expect(stdout).toBe('')
    expect(stderr).toMatch(message)
    expect(stderr).not.toMatch(/\n {4}at /)
    expect(stderr.trimEnd().split('\n').length).toBeLessThanOrEqual(2)
  })

  it('DEBUG shows the stack and the causes', async () => {
    const { stderr } = await e2b(['sandbox', 'list'], {
      env: { E2B_API_URL: 'http://127.0.0.1:29999', DEBUG: '1' },
    })
    expect(stderr).toMatch(/^Cannot reach/)
    expect(stderr).toMatch(/caused by: [\s\S]*\n {4}at /)
  })

  it('a mistyped command gets a suggestion', async () => {
    const { code, stderr } = await e2b(['sandbox', 'lst'])
    expect(code).toBe(1)
    expect(stderr).toMatch(/unknown command 'lst'\n\(Did you mean one of list, ls\?\)/)
    expect((await e2b(['sandbx'])).stderr).toContain('Did you mean')
    expect((await e2b(['sandbox', 'list', '--stat', 'x'])).stderr).toContain('Did you mean --state?')
  })
})
