import type { Progress } from '@modelcontextprotocol/server'
import {
  ProtocolError,
  ProtocolErrorCode,
  type Result,
  Server,
  type ServerContext,
} from '@modelcontextprotocol/server'
import { Refusal } from '../refusal.ts'
import type { Caller, RequestOptions } from '../upstream/server-connection.ts'
import { ClientSession } from './client-session.ts'
import type { Gateway } from './gateway.ts'
import type { Questions } from './questions.ts'

const MAX_SUBSCRIPTIONS = 1000
const MAX_INSTRUCTIONS_CHARACTERS = 16 * 1024

/** Does a client's request: `work` gets whom to ask, when to stop, and whom to tell of progress. */
type Run = (context: ServerContext, work: (options: RequestOptions) => Promise<Result>) => Promise<Result>

function newServer(gateway: Gateway): Server {
  const instructions = gateway.servers
    .flatMap((server) => {
      const text = server.client?.getInstructions()
      return text ? [`# ${server.name}\n${text}`] : []
    })
    .join('\n\n')
    .slice(0, MAX_INSTRUCTIONS_CHARACTERS)
  return new Server(
    { name: 'mcp-gateway', version: '1.0.0' },
    {
      capabilities: {
        tools: { listChanged: true },
        prompts: { listChanged: true },
        resources: { listChanged: true, subscribe: true },
        completions: {},
        logging: {},
      },
      ...(instructions !== '' && { instructions }),
    },
  )
}

/** Makes what answers one client with a session. */
export function sessionServer(gateway: Gateway): ClientSession {
  const server = newServer(gateway)
  const session = new ClientSession(server)
  register(server, gateway, (context, work) => {
    session.lastUsed = performance.now()
    const { _meta, signal, notify, send } = context.mcpReq
    // by the request's own stream, which also clients have that listen to no other
    const caller: Caller = {
      answers: (method) => session.answers(method),
      ask: (method, params, askSignal) =>
        send({ method, params } as never, { signal: askSignal, timeout: 600_000 }) as Promise<Result>,
    }
    const token = _meta?.progressToken
    const onprogress = (progress: Progress) =>
      void notify({ method: 'notifications/progress', params: { ...progress, progressToken: token! } }).catch(
        () => {},
      )
    return work({ caller, signal, ...(token !== undefined && { onprogress }) })
  })
  server.setRequestHandler('resources/subscribe', async ({ params: { uri } }) => {
    if (session.subscriptions.has(uri)) return {}
    if (session.subscriptions.size >= MAX_SUBSCRIPTIONS) {
      throw new ProtocolError(
        ProtocolErrorCode.InvalidRequest,
        `a client may watch ${MAX_SUBSCRIPTIONS} resources`,
      )
    }
    session.subscriptions.add(uri)
    await gateway.subscriptions.add(uri)
    return {}
  })
  server.setRequestHandler('resources/unsubscribe', ({ params: { uri } }) => {
    if (session.subscriptions.delete(uri)) gateway.subscriptions.remove(uri)
    return {}
  })
  server.setRequestHandler('logging/setLevel', ({ params: { level } }) => {
    session.logLevel = level
    gateway.levelChanged()
    return {}
  })
  server.setNotificationHandler('notifications/roots/list_changed', () => gateway.rootsChanged())
  server.oninitialized = () => {
    gateway.sessions.add(session)
    if (session.answers('roots/list')) gateway.rootsChanged()
  }
  return session
}

/** Makes what answers one request of a client without a session. */
export function requestServer(gateway: Gateway, questions: Questions): Server {
  const server = newServer(gateway)
  register(server, gateway, (context, work) =>
    questions.handle(context, (caller, signal, onprogress) => work({ caller, signal, onprogress })),
  )
  return server
}

/** Registers what both kinds of clients may ask. */
function register(server: Server, gateway: Gateway, run: Run): void {
  server.setRequestHandler('tools/list', () => ({ tools: gateway.directory.tools }))
  server.setRequestHandler('prompts/list', () => ({ prompts: gateway.directory.prompts }))
  server.setRequestHandler('resources/list', () => ({ resources: gateway.directory.resources }))
  server.setRequestHandler('resources/templates/list', () => ({
    resourceTemplates: gateway.directory.templates,
  }))
  server.setRequestHandler('tools/call', ({ params }, context) => {
    const found = gateway.directory.tool(params.name)
    if (!found) throw new ProtocolError(ProtocolErrorCode.InvalidParams, `there is no tool '${params.name}'`)
    return run(context, (options) =>
      found.server.request('tools/call', { ...params, name: found.item.name }, options).catch(toolError),
    ) as never
  })
  server.setRequestHandler('prompts/get', ({ params }, context) => {
    const found = gateway.directory.prompt(params.name)
    if (!found)
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, `there is no prompt '${params.name}'`)
    return run(context, (options) =>
      found.server.request('prompts/get', { ...params, name: found.item.name }, options),
    ) as never
  })
  server.setRequestHandler(
    'resources/read',
    ({ params: { uri } }, context) => run(context, (options) => gateway.readResource(uri, options)) as never,
  )
  server.setRequestHandler('completion/complete', ({ params }, { mcpReq: { signal } }) => {
    const { ref } = params
    if (ref.type === 'ref/prompt') {
      const found = gateway.directory.prompt(ref.name)
      const own = { ...params, ref: { ...ref, name: found?.item.name } }
      return (found?.server.request('completion/complete', own, { signal }) ?? noCompletion) as never
    }
    const owner = gateway.directory.serverOfTemplate(ref.uri) ?? gateway.directory.serversOf(ref.uri)[0]
    return (owner?.request('completion/complete', params, { signal }) ?? noCompletion) as never
  })
}

const noCompletion = { completion: { values: [] } }

/** Shows a model why a tool's server did not do it; other errors are the client's. */
function toolError(error: unknown): Result {
  if (!(error instanceof Refusal)) throw error
  return { isError: true, content: [{ type: 'text', text: error.message }] }
}
