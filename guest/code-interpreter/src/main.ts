import { createServer } from 'node:http'
import { Contexts } from './contexts.ts'
import { endLeftovers } from './kernel/leftovers.ts'
import { answer } from './routes.ts'
import { sandboxEnvironment } from './sandbox-environment.ts'

const PORT = 49_999
/** Longer than the 620 s of the edge, so that the edge closes idle connections first. */
const KEEP_ALIVE_MS = 650_000
const RETRY_WARM_UP_MS = 5000

const contexts = new Contexts(await endLeftovers())
let isReady = false

const server = createServer((request, response) => {
  void answer({ contexts, isReady: () => isReady, environment: sandboxEnvironment }, request, response)
})
server.keepAliveTimeout = KEEP_ALIVE_MS
server.listen(PORT, '0.0.0.0')

/** Starts a kernel that has imported the most used modules, for the template's checkpoint. */
async function warmUp(): Promise<void> {
  try {
    const python = await contexts.defaultOf('python')
    await python.runSilently('__import__("sandlot_interpreter.warm_up")')
    isReady = true
  } catch (error) {
    console.error(error)
    setTimeout(warmUp, RETRY_WARM_UP_MS)
  }
}

await warmUp()
