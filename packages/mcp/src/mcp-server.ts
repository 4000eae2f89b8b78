import {
  type CallToolResult,
  type Tool as ListedTool,
  ProtocolError,
  ProtocolErrorCode,
  Server,
  type ServerContext,
} from '@modelcontextprotocol/server'
import { z } from 'zod'
import packageJson from '../package.json' with { type: 'json' }
import type { CallLimits } from './call-limits.ts'
import type { Connection } from './connection.ts'
import { describeFailure, ToolFailure } from './failure.ts'
import { Progress } from './progress.ts'
import { TOOLS } from './tools/all.ts'
import type { Tool, ToolAnswer } from './tools/tool.ts'

const INSTRUCTIONS = `Sandlot gives you isolated Linux machines (sandboxes) to run code in. Create one with create_sandbox, pass its sandbox_id to the other tools, and reuse it for related work: files, packages and running programs stay until it ends. Save a state with checkpoint_sandbox before something risky and return with rollback_sandbox; try several ways at the same time with fork_sandbox. Kill sandboxes that are not needed any more.`

const MAX_TOKEN_CHARS = 256

/** Who calls, and by which limits. */
export interface Caller {
  connection: Connection
  limits: CallLimits
  /** Whose calls are counted together: the team. */
  owner: string
  /** Resolves when the client has read the answers of this server, for clients that may not read. */
  isRead?: Promise<void>
}

const byName = new Map(TOOLS.map((tool) => [tool.name, tool]))
let listed: ListedTool[] | undefined

/** Makes what answers one client, or one request of a client without a session. */
export function createMcpServer(caller: Caller): Server {
  const { name, version } = packageJson
  const server = new Server(
    { name, title: 'Sandlot', version },
    { capabilities: { tools: {} }, instructions: INSTRUCTIONS },
  )
  server.setRequestHandler('tools/list', () => ({ tools: (listed ??= TOOLS.map(toListed)) }))
  server.setRequestHandler('tools/call', ({ params }, context) => {
    const tool = byName.get(params.name)
    if (!tool) throw new ProtocolError(ProtocolErrorCode.InvalidParams, `there is no tool '${params.name}'`)
    return callTool(tool, params.arguments ?? {}, caller, context)
  })
  return server
}

function toListed({ name, title, description, hints, input, output }: Tool): ListedTool {
  const schema = (of: z.ZodType, io: 'input' | 'output') => {
    const { $schema: _, ...rest } = z.toJSONSchema(of, { io })
    return rest as ListedTool['inputSchema']
  }
  return {
    name,
    title,
    description,
    inputSchema: schema(input, 'input'),
    ...(output && { outputSchema: schema(output, 'output') }),
    annotations: {
      title,
      readOnlyHint: hints.readOnly ?? false,
      destructiveHint: hints.destructive ?? false,
      idempotentHint: hints.idempotent ?? false,
      openWorldHint: hints.openWorld ?? false,
    },
  }
}

async function callTool(
  tool: Tool,
  given: Record<string, unknown>,
  { connection, limits, owner, isRead }: Caller,
  { mcpReq }: ServerContext,
): Promise<CallToolResult> {
  const token = shortToken(mcpReq._meta?.progressToken)
  const progress =
    token === undefined
      ? undefined
      : new Progress((report) => {
          const params = { ...report, progressToken: token }
          void mcpReq.notify({ method: 'notifications/progress', params }).catch(() => {})
        })
  try {
    const input = checkInput(tool, given)
    const context = { connection, signal: mcpReq.signal, progress: (text: string) => progress?.report(text) }
    return toResult(tool, await limits.run(owner, () => tool.run(input, context), isRead))
  } catch (error) {
    return { isError: true, content: [{ type: 'text', text: describeFailure(error) }] }
  } finally {
    progress?.end()
  }
}

/** Each report repeats the token, so a long one gets no reports. */
const shortToken = (token: string | number | undefined): string | number | undefined =>
  typeof token === 'string' && token.length > MAX_TOKEN_CHARS ? undefined : token

/** Fills in defaults. @throws ToolFailure that names each wrong argument, as the model can mend it */
function checkInput(tool: Tool, given: Record<string, unknown>): Record<string, unknown> {
  const { success, data, error } = tool.input.safeParse(given)
  if (success) return data
  const problems = error.issues
    .slice(0, 10)
    .map(({ path, message }) => `${path.join('.') || 'arguments'}: ${message}`)
  throw new ToolFailure(`wrong arguments for ${tool.name}:\n${problems.join('\n')}`)
}

function toResult(tool: Tool, { result, text, pictures = [] }: ToolAnswer): CallToolResult {
  const structured = result && tool.output?.parse(result)
  return {
    content: [
      { type: 'text', text: text ?? JSON.stringify(structured) },
      ...pictures.map(({ data, mimeType }) => ({ type: 'image' as const, data, mimeType })),
    ],
    ...(structured && { structuredContent: structured }),
  }
}
