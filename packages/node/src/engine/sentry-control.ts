import { connect } from 'node:net'
import { SandlotError } from '@sandlot/protocol'

/** Limit of an answer, because the text received so far is parsed again with each piece; answers are short. */
const MAX_ANSWER_BYTES = 16 * 1024

/**
 * Calls a method without arguments over a sentry's control socket, in JSON as `runsc pause` does (gVisor, pkg/urpc), but
 * without the 9 ms of a runsc process.
 * @throws SandlotError operation_timeout, internal_server_error
 */
export function callSentry(socketPath: string, method: string, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath)
    let answer = ''
    const fail = (message: string, cause?: unknown) => {
      finish()
      reject(
        new SandlotError('internal_server_error', `${method} of the sandbox's kernel: ${message}`, { cause }),
      )
    }
    const timer = setTimeout(() => {
      finish()
      reject(
        new SandlotError(
          'operation_timeout',
          `${method} of the sandbox's kernel: no answer in ${timeoutMs} ms`,
        ),
      )
    }, timeoutMs)
    function finish(): void {
      clearTimeout(timer)
      socket.destroy()
    }
    socket.setEncoding('utf8')
    socket.on('error', (error) => fail(error.message, error))
    socket.on('close', () => fail('it closed the connection'))
    socket.on('data', (chunk: string) => {
      answer += chunk
      if (answer.length > MAX_ANSWER_BYTES) return fail('its answer is too long')
      const result = parse(answer)
      if (!result) return
      if (!result.success) return fail(result.err)
      finish()
      resolve()
    })
    socket.write(JSON.stringify({ method, arg: null }))
  })
}

/** Parses an answer, which ends when it is a complete JSON value: nothing else marks the end. */
function parse(text: string): { success: boolean; err: string } | undefined {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
