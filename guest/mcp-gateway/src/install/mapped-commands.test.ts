import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { placesOf } from '../places.ts'
import { mappedCommands, ownCommands } from './mapped-commands.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'mcp-gateway-mapped-'))
})
afterEach(() => rmSync(root, { recursive: true }))

const given = { MCP_GATEWAY_COMMANDS: '{"aks":["of-the-administrator"],"dart":["dart"]}' }

test("the administrator's commands are used, unless the template has its own", () => {
  const places = placesOf({ MCP_GATEWAY_ROOT: root })
  expect(mappedCommands(places, given)).toEqual({ aks: ['of-the-administrator'], dart: ['dart'] })
  mkdirSync(dirname(places.commandsFile), { recursive: true })
  writeFileSync(places.commandsFile, '{"aks":["of-the-template"]}')
  expect(mappedCommands(places, given)).toEqual({ aks: ['of-the-template'], dart: ['dart'] })
  expect(ownCommands(places)).toEqual({ aks: ['of-the-template'] })
})

test('commands that are not JSON are named by their variable', () => {
  const places = placesOf({ MCP_GATEWAY_ROOT: root })
  expect(() => mappedCommands(places, { MCP_GATEWAY_COMMANDS: '{' })).toThrow(
    'MCP_GATEWAY_COMMANDS is not JSON',
  )
})
