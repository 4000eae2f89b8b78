import type { McpServers } from '../gen/mcp-servers.ts'

/**
 * Servers for the MCP gateway with their settings: known servers by name, whose settings the gateway checks, and any GitHub
 * repository as `github/<owner>/<repository>`.
 *
 * @example
 * ```ts
 * const sandbox = await Sandbox.create({ mcp: { exa: { apiKey: process.env.EXA_API_KEY } } })
 * ```
 */
export type McpServer = McpServers | GitHubMcpServer

export type GitHubMcpServer = {
  [repository: `github/${string}`]: {
    /** Starts a server that speaks MCP over stdio. */
    runCmd: string
    /** Command that installs dependencies, run in the root of the repository. */
    installCmd?: string
    envs?: Record<string, string>
  }
}

/** File in which the gateway stores the token that clients must send. */
export const MCP_TOKEN_PATH = '/etc/mcp-gateway/.token'
