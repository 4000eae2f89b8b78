/** Read by `mcp-gateway` in the sandbox (guest/mcp-gateway/src/install/mapped-commands.ts). */
const VARIABLE = 'MCP_GATEWAY_COMMANDS'

/**
 * Returns the variable that tells the MCP gateway of a sandbox the administrator's commands for the servers that the sandbox is created
 * with; none if it has no such server.
 * @param mcp of the create
 */
export function mcpVariables(
  mcp: unknown,
  commandsOf: () => Record<string, string[]>,
): Record<string, string> {
  if (typeof mcp !== 'object' || mcp === null) return {}
  const wanted = Object.entries(commandsOf()).filter(([key]) => Object.hasOwn(mcp, key))
  return wanted.length > 0 ? { [VARIABLE]: JSON.stringify(Object.fromEntries(wanted)) } : {}
}
