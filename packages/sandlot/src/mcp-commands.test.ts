import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import catalogue from '../../../guest/mcp-gateway/catalogue/catalogue.json' with { type: 'json' }
import { mapMcpServer, mcpCommandsOf, unmapMcpServer } from './mcp-commands.ts'

let home: string
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'mcp-commands-'))
})
afterEach(() => rmSync(home, { recursive: true }))

test('keeps the commands of a home', () => {
  expect(mcpCommandsOf(home)).toEqual({})
  mapMcpServer(home, 'aks', ['aks-mcp', '--transport=stdio'])
  mapMcpServer(home, 'dart', ['https://mcp.example.com/mcp'])
  unmapMcpServer(home, 'aks')
  expect(mcpCommandsOf(home)).toEqual({ dart: ['https://mcp.example.com/mcp'] })
})

test.each([
  ['akss', ['aks-mcp'], "there is no MCP server 'akss'"],
  ['aks', [], "'aks' needs a command: sandlot mcp map aks -- <command or URL>"],
  ['aks', ['x'.repeat(5000)], "the command of 'aks' has 5004 characters; at most 4096 are allowed"],
])('refuses %s with %j', (key, command, reason) => {
  expect(() => mapMcpServer(home, key, command)).toThrow(reason)
})

test('a server without a command cannot be unmapped, and a damaged file is named', () => {
  expect(() => unmapMcpServer(home, 'aks')).toThrow("no command is stored for the MCP server 'aks'")
  writeFileSync(join(home, 'mcp-commands.json'), '{')
  expect(() => mcpCommandsOf(home)).toThrow('mcp-commands.json is not JSON')
})

test.each(['null', '7', '{"aks":"text"}', '{"aks":[]}', '{"aks":[7]}'])(
  'a file with %s is named',
  (content) => {
    writeFileSync(join(home, 'mcp-commands.json'), content)
    expect(() => mcpCommandsOf(home)).toThrow('mcp-commands.json is no object of lists of texts')
  },
)

test('all commands together fit into a variable of a process', () => {
  const map = () => {
    for (const key of Object.keys(catalogue)) mapMcpServer(home, key, ['x'.repeat(4000)])
  }
  expect(map).toThrow('at most 98304 are allowed')
})
