import { describe, expect, test } from 'vitest'
import catalogue from '../../catalogue/catalogue.json' with { type: 'json' }
import type { Catalogue } from '../catalogue/entry.ts'
import { environmentOf, fillArguments, fillHeaders } from './launch.ts'
import { parseConfig } from './parse-config.ts'

const parse = (config: unknown) => parseConfig(JSON.stringify(config), catalogue as Catalogue)

test('takes the configuration of the documentation, and says what it leaves out', () => {
  const { servers, warnings } = parse({ browserbase: { apiKey: 'a', projectId: 'p' }, exa: { apiKey: 'e' } })
  expect(servers.map(({ key }) => key)).toEqual(['browserbase', 'exa'])
  expect(warnings).toEqual(["'browserbase' needs 'geminiApiKey', which is not given"])
})

test('takes every server of the catalogue without options', () => {
  const all = Object.keys(catalogue)
  for (let first = 0; first < all.length; first += 50) {
    const some = all.slice(first, first + 50)
    expect(parse(Object.fromEntries(some.map((key) => [key, {}]))).servers).toHaveLength(some.length)
  }
})

test.each([
  ['runCmd', 'installCmd'],
  ['run_cmd', 'install_cmd'],
])('takes a project of GitHub with %s', (run, install) => {
  const { servers } = parse({
    'github/owner/repo.js': { [run]: 'npx -y .', [install]: 'npm ci', envs: { A: 'b' } },
  })
  expect(servers).toEqual([
    {
      kind: 'github',
      key: 'github/owner/repo.js',
      owner: 'owner',
      repository: 'repo.js',
      runCommand: 'npx -y .',
      installCommand: 'npm ci',
      environment: { A: 'b' },
    },
  ])
})

describe('refuses', () => {
  test.each<[string, unknown, string]>([
    ['what is no object', [], 'the configuration must be an object'],
    ['an unknown server', { filesytem: {} }, "there is no MCP server 'filesytem'"],
    ['a name of JavaScript itself', { constructor: {} }, "there is no MCP server 'constructor'"],
    ['an unknown option', { exa: { apikey: 'x' } }, "'exa' has no option 'apikey'; it has apiKey"],
    ['an option of a wrong type', { exa: { apiKey: {} } }, "'exa.apiKey' must be a string, number"],
    [
      'options that are no object',
      { exa: 'key' },
      "the options of 'exa' must be an object, but are a string",
    ],
    ['a project without a command', { 'github/a/b': {} }, "'github/a/b' needs 'runCmd'"],
    ['a project outside of its folder', { 'github/../b': { runCmd: 'x' } }, "'github/../b' is not a project"],
    ['a project that is a path', { 'github/a/b/c': { runCmd: 'x' } }, "'github/a/b/c' is not a project"],
    ['an unknown option of a project', { 'github/a/b': { runCmd: 'x', y: 1 } }, "has no option 'y'"],
    [
      'variables that are no strings',
      { 'github/a/b': { runCmd: 'x', envs: { A: 1 } } },
      "'envs' of 'github/a/b'",
    ],
  ])('%s', (_, config, message) => {
    expect(() => parse(config)).toThrow(message)
  })

  test('what is not JSON, and more than 64 servers', () => {
    expect(() => parseConfig('{', {})).toThrow('the configuration is not JSON')
    const many = Object.fromEntries(
      Array.from({ length: 65 }, (_, index) => [`github/a/b${index}`, { runCmd: 'x' }]),
    )
    expect(() => parse(many)).toThrow('has 65 servers; at most 64')
  })

  test('a misspelt server with the names that it resembles', () => {
    expect(() => parse({ 'file-system': {} })).toThrow('did you mean filesystem, rustMcpFilesystem?')
  })
})

describe('options become', () => {
  test('environment variables', () => {
    const declared = { apiKey: { env: 'KEY' }, ids: { env: 'IDS' }, isOn: { env: 'ON' }, volume: {} }
    expect(environmentOf(declared, { apiKey: 'k', ids: [1, 2], isOn: false, volume: 'v' })).toEqual({
      KEY: 'k',
      IDS: '1,2',
      ON: 'false',
    })
  })

  test('arguments: one for each item of a list, none for what is not given', () => {
    const options = { paths: ['/a', '/b'], level: 3 }
    expect(
      fillArguments(['{paths}', '--level={level}', '--other={other}', '{home}/db'], options, '/home/user'),
    ).toEqual(['/a', '/b', '--level=3', '/home/user/db'])
  })

  test('headers, without those whose variable is not given', () => {
    const headers = { Authorization: 'Bearer ${KEY}', 'X-Team': '${TEAM}' }
    expect(fillHeaders(headers, { KEY: 'k' })).toEqual({ Authorization: 'Bearer k' })
  })
})
