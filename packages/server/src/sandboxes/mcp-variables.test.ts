import { expect, test } from 'vitest'
import { mcpVariables } from './mcp-variables.ts'

const commands = () => ({ aks: ['aks-mcp', '--transport=stdio'], dart: ['dart', 'mcp-server'] })

test('a sandbox is told the commands of its own servers', () => {
  expect(mcpVariables({ aks: {}, memory: {} }, commands)).toEqual({
    MCP_GATEWAY_COMMANDS: '{"aks":["aks-mcp","--transport=stdio"]}',
  })
})

test.each([undefined, null, {}, { memory: {} }, []])('one with mcp %j is told nothing', (mcp) => {
  expect(mcpVariables(mcp, commands)).toEqual({})
})
