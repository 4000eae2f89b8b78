import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import catalogue from '../../catalogue/catalogue.json' with { type: 'json' }
import months from '../../catalogue/release-months.json' with { type: 'json' }
import { keysOfNpmSet } from '../install/locks.ts'
import { correct, dated } from './corrections.ts'
import type { Catalogue } from './entry.ts'
import { parseTable } from './parse-table.ts'

const sources = readFileSync(new URL('../../catalogue/sources.md', import.meta.url), 'utf8')

/** Options by key, from the type `McpServer` of the published SDK: `airtable?: Airtable`, `interface Airtable { … }`. */
function typingsOfTheSdk(): Record<string, Record<string, { required: boolean }>> {
  const file = createRequire(import.meta.url)
    .resolve('e2b-official')
    .replace(/\.c?js$/, '.d.ts')
  const source = readFileSync(file, 'utf8').replaceAll(/\/\*[\s\S]*?\*\//g, '')
  const members = (type: string): Record<string, { type: string; required: boolean }> => {
    const body = new RegExp(`interface ${type.replaceAll('$', '\\$')} \\{([^}]*)\\}`).exec(source)?.[1] ?? ''
    return Object.fromEntries(
      [...body.matchAll(/^\s+(\w+)(\??): (.+?);?$/gm)].map(([, name, mark, of]) => [
        name,
        { type: of!, required: mark === '' },
      ]),
    )
  }
  return Object.fromEntries(
    Object.entries(members('McpServer')).map(([key, { type }]) => [
      key,
      Object.fromEntries(
        Object.entries(members(type)).map(([option, { required }]) => [option, { required }]),
      ),
    ]),
  )
}

test('is what the sources say', () => {
  const table = parseTable(sources)
  const corrected = Object.fromEntries(
    Object.entries(table).map(([key, entry]) => [key, dated(correct(key, entry), months)]),
  )
  expect(catalogue).toEqual(corrected)
})

test('has every server of the published SDK, with its options and which of them are required', () => {
  const typings = typingsOfTheSdk()
  expect(Object.keys(typings)).toHaveLength(265)
  const ours = Object.fromEntries(
    Object.entries(catalogue as Catalogue).map(([key, { options }]) => [
      key,
      Object.fromEntries(
        Object.entries(options).map(([option, { required }]) => [option, { required: required === true }]),
      ),
    ]),
  )
  expect(ours).toEqual(typings)
})

test('pins an exact version of each package, and the day of the dependencies of those from PyPI', () => {
  for (const [key, { run }] of Object.entries(catalogue as Catalogue)) {
    if (run && run.kind !== 'remote') expect(run.version, key).toMatch(/^\d[\w.]*$/)
    if (run?.kind === 'pypi') expect(run.resolvedBefore, key).toMatch(/^\d{4}-\d\d-01$/)
  }
})

test('names a variable of an option in the headers of each remote server', () => {
  for (const [key, { run, options }] of Object.entries(catalogue as Catalogue)) {
    if (run?.kind !== 'remote') continue
    const variables = Object.values(options).map(({ env }) => env)
    const named = [...JSON.stringify(run.headers ?? {}).matchAll(/\$\{(\w+)\}/g)].map(([, name]) => name)
    expect(variables, key).toEqual(named)
  }
})

const locks = new URL('../../locks/', import.meta.url)
const entries = catalogue as Catalogue

test('the lock of servers from npm has their pinned versions, and a hash of each package', () => {
  const { packages } = JSON.parse(readFileSync(new URL('npm/package-lock.json', locks), 'utf8')) as {
    packages: Record<string, { version?: string; integrity?: string; dependencies: Record<string, string> }>
  }
  const { '': project, ...fetched } = packages
  const keys = keysOfNpmSet(entries, fileURLToPath(locks))
  expect(keys).toHaveLength(Object.keys(project!.dependencies).length)
  for (const [name, version] of Object.entries(project!.dependencies))
    expect(packages[`node_modules/${name}`]?.version).toBe(version)
  expect(Object.values(fetched).filter(({ integrity }) => !integrity?.startsWith('sha512-'))).toEqual([])
})

test.each(readdirSync(new URL('pypi', locks)))(
  '%s has the pinned version, and a hash of each package',
  (file) => {
    const { run } = entries[file.replace('.lock', '')]!
    const lock = readFileSync(new URL(`pypi/${file}`, locks), 'utf8')
    const pins = lock
      .replaceAll(/ \\\n\s+/g, ' ')
      .trim()
      .split('\n')
    expect(pins.filter((pin) => !/==\S+ .*--hash=sha256:/.test(pin))).toEqual([])
    expect(run?.kind === 'pypi' && lock.includes(`${run.package}==${run.version} `)).toBe(true)
  },
)
