import type { Connection } from '../connection.ts'
import { ToolFailure } from '../failure.ts'
import { pooledFetch, type Sandbox } from '../sdk.ts'

/** Port of the code interpreter (wire spec, section 10). */
const PORT = 49_999
/** Line beyond which an answer is not read any further. */
const MAX_LINE_CHARS = 6 * 1024 * 1024
const MAX_REASON_CHARS = 1_000

/** One line of the answer to an execution. */
export type CodeEvent =
  | { type: 'stdout' | 'stderr'; text: string }
  | ({ type: 'result'; is_main_result?: boolean } & Record<string, unknown>)
  | { type: 'error'; name: string; value: string; traceback: string }
  | { type: 'number_of_executions'; execution_count: number }

/**
 * Runs code in the interpreter of a sandbox, and yields its output as it arrives. Ending the iteration or aborting the
 * signal interrupts the code.
 *
 * @throws ToolFailure when the sandbox has no interpreter, or refuses the code
 */
export async function* execute(
  connection: Connection,
  sandbox: Sandbox,
  body: { code: string; language?: string },
  signal: AbortSignal,
): AsyncGenerator<CodeEvent> {
  const { url, headers } = connection.route(sandbox, PORT)
  const response = await pooledFetch('rpc')(`${url}/execute`, {
    method: 'POST',
    headers: { ...headers, ...accessOf(sandbox), 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    // as envd's client: a sandbox could redirect to servers in the network of this program
    redirect: 'error',
    signal,
  })
  if (!response.ok || !response.body) throw await refusal(response)
  for await (const line of linesOf(response.body)) yield parseEvent(line)
}

/** @throws ToolFailure for what no interpreter of ours would send, as programs of the sandbox can take its port */
export function parseEvent(line: string): CodeEvent {
  try {
    const event: unknown = JSON.parse(line)
    if (typeof event === 'object' && event !== null && !Array.isArray(event)) return event as CodeEvent
  } catch {}
  throw new ToolFailure(
    `the interpreter of the sandbox answered with what is no event: ${line.slice(0, 100)}`,
  )
}

/** The token that the interpreter of a secured sandbox demands, which the SDK keeps for its own requests. */
const accessOf = (sandbox: Sandbox): Record<string, string> => {
  const { envdAccessToken } = sandbox as unknown as { envdAccessToken?: string }
  return envdAccessToken ? { 'X-Access-Token': envdAccessToken } : {}
}

async function refusal(response: Response): Promise<Error> {
  const text = (await response.text()).slice(0, MAX_REASON_CHARS)
  if (response.status === 502)
    return new ToolFailure(
      "no code interpreter runs in this sandbox: create one with the template 'code-interpreter-v1', or run the code with run_command (python3 -c …, node -e …)",
    )
  return new ToolFailure(`the code interpreter answered ${response.status}: ${text}`)
}

/** Splits a stream into lines. @throws ToolFailure for a line that is too long */
export async function* linesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let pieces: string[] = []
  let size = 0
  for await (const chunk of body as unknown as AsyncIterable<Uint8Array>) {
    const [first, ...rest] = decoder.decode(chunk, { stream: true }).split('\n')
    pieces.push(first!)
    size += first!.length
    if (size > MAX_LINE_CHARS)
      throw new ToolFailure(
        'a result is larger than 6 MiB: write it to a file in the sandbox, and read parts of that',
      )
    for (const start of rest) {
      const line = pieces.join('')
      if (line !== '') yield line
      pieces = [start]
      size = start.length
    }
  }
  const last = pieces.join('')
  if (last !== '') yield last
}
