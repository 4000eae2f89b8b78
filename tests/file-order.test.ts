import { globSync } from 'node:fs'
import { basename, join } from 'node:path'
import { expect, test } from 'vitest'
import { catalogNames } from '../templates/names.ts'
import { BUILD_ORDER, buildPosition } from './file-order.ts'

const filesOf = (suite: string) =>
  globSync(join(import.meta.dirname, suite, '*.test.ts'))
    .sort((a, b) => buildPosition(suite, a) - buildPosition(suite, b))
    .map((file) => basename(file, '.test.ts'))

test('every template of the catalogue is built by one suite', () => {
  expect(Object.values(BUILD_ORDER).flat().sort()).toEqual([...catalogNames].sort())
})

test('files run in the order of the builds that they wait for, examples last', () => {
  expect(filesOf('agents')).toEqual([
    ...['openai-agents', 'amp', 'claude', 'codex', 'opencode', 'openclaw', 'examples'],
  ])
  const catalogue = filesOf('catalogue')
  const firstInterpreter = catalogue.findIndex((name) => name.startsWith('code-interpreter'))
  expect(firstInterpreter).toBeGreaterThan(1)
  expect(catalogue.slice(0, 2)).toEqual(['mcp-gateway', 'docker'])
  expect(catalogue.slice(2, firstInterpreter).every((name) => name.startsWith('desktop'))).toBe(true)
  expect(catalogue.slice(firstInterpreter).every((name) => name.startsWith('code-interpreter'))).toBe(true)
})
