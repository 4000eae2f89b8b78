import {
  Client,
  ProtocolError,
  SSEClientTransport,
  StreamableHTTPClientTransport,
  type Transport,
} from '@modelcontextprotocol/client'
import type { Launch } from '../config/launch.ts'
import type { Identity } from '../identity.ts'
import { ServerProcess } from './server-process.ts'

/** Time for a server to answer the handshake. Python servers with large libraries take 20 s on a busy machine. */
const HANDSHAKE_TIMEOUT_MS = 45_000
/** The revision without a handshake, which servers of the newest SDKs may demand. */
const STATELESS_REVISION = '2026-07-28'

interface ConnectOptions {
  identity: Identity
  /** Whether the server may ask for the clients' roots. */
  mayAskForRoots: boolean
  onstderr: (text: string) => void
  /** Called with a client that is not connected yet, to register handlers. */
  onclient: (client: Client) => void
  signal?: AbortSignal
}

export interface Connected {
  client: Client
  /** Present if the server is a process of ours. */
  process?: ServerProcess
}

/**
 * Connects to a server by the handshake that all revisions up to 2025-11-25 share; and, if the server refuses it, by
 * revision 2026-07-28. The handshake comes first as it costs old servers nothing, and some end on what they do not know.
 */
export async function connect(launch: Launch, options: ConnectOptions): Promise<Connected> {
  try {
    return await attempt(launch, options, 'legacy')
  } catch (error) {
    if (!(error instanceof ProtocolError) || options.signal?.aborted) throw error
    try {
      return await attempt(launch, options, { pin: STATELESS_REVISION })
    } catch {
      throw error
    }
  }
}

async function attempt(
  launch: Launch,
  options: ConnectOptions,
  mode: 'legacy' | { pin: string },
): Promise<Connected> {
  const client = new Client(
    { name: 'mcp-gateway', version: '1.0.0' },
    {
      capabilities: {
        sampling: {},
        elicitation: { form: {}, url: {} },
        ...(options.mayAskForRoots && { roots: { listChanged: true } }),
      },
      versionNegotiation: { mode },
    },
  )
  options.onclient(client)
  const transport = transportFor(launch, options)
  const abort = () => void transport.close()
  options.signal?.addEventListener('abort', abort, { once: true })
  try {
    await client.connect(transport, { timeout: HANDSHAKE_TIMEOUT_MS })
  } catch (error) {
    await transport.close()
    if (transport instanceof ServerProcess && transport.lastWords.startsWith('ended')) {
      throw new Error(`the server ${transport.lastWords}`)
    }
    throw error
  } finally {
    options.signal?.removeEventListener('abort', abort)
  }
  return { client, ...(transport instanceof ServerProcess && { process: transport }) }
}

function transportFor(launch: Launch, options: ConnectOptions): Transport {
  if (launch.kind === 'process') return new ServerProcess(launch, options.identity, options.onstderr)
  const url = new URL(launch.url)
  const requestInit = { headers: launch.headers }
  return launch.transport === 'sse'
    ? new SSEClientTransport(url, { requestInit })
    : new StreamableHTTPClientTransport(url, { requestInit })
}
