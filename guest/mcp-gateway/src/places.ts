import { existsSync } from 'node:fs'
import { join } from 'node:path'

/** Files and the port of the gateway. `MCP_GATEWAY_ROOT` and `MCP_GATEWAY_PORT` move them, which tests need. */
export interface Places {
  port: number
  /** Read by the SDKs' `getMcpToken()`; only root may read it. */
  tokenFile: string
  logFile: string
  /** Process id and start time of the daemon. */
  pidFile: string
  /** Commands for servers that the catalogue cannot run, and for those that are to be run otherwise. */
  commandsFile: string
  /** One folder for each installed server. */
  installed: string
  /** One folder for each server whose dependencies are locked by hash; part of the program. */
  locks: string
}

const program = import.meta.dirname

export function placesOf(environment: NodeJS.ProcessEnv): Places {
  const root = environment.MCP_GATEWAY_ROOT ?? '/'
  return {
    port: Number(environment.MCP_GATEWAY_PORT ?? 50005),
    tokenFile: join(root, 'etc/mcp-gateway/.token'),
    logFile: join(root, 'var/log/mcp-gateway/gateway.log'),
    pidFile: join(root, 'run/mcp-gateway.pid'),
    commandsFile: join(root, 'etc/mcp-gateway/commands.json'),
    installed: join(root, 'opt/mcp'),
    // beside the bundle in a sandbox, beside `src` here
    locks: [join(program, 'locks'), join(program, '../locks')].find(existsSync) ?? join(program, 'locks'),
  }
}
