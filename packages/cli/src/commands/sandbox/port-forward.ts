import { once } from 'node:events'
import { Argument, Command } from 'commander'
import { type PortMapping, parsePortMapping } from '../../options/port-mapping.ts'
import { sandboxIdArgument } from '../../options/sandbox-id.ts'
import { note, print } from '../../output/out.ts'

export const portForward = (): Command =>
  new Command('port-forward')
    .description('forward local ports to ports of a sandbox')
    .addArgument(sandboxIdArgument('forward to the sandbox specified by <sandboxID>'))
    .addArgument(
      new Argument(
        '<ports...>',
        '8080, or 8080:80 for port 80 of the sandbox, or 0:80 for a free local port',
      ).argParser(parsePortMapping),
    )
    .addHelpText(
      'after',
      `
HTTP and WebSockets are forwarded through the server's edge, other protocols through a shell in the sandbox.
Ctrl-C ends the command. The sandbox is kept alive meanwhile.

Examples:
  e2b sandbox port-forward i0lf5glwo7abo25de80rz 8080
  e2b sandbox port-forward i0lf5glwo7abo25de80rz 8080:80 5432`,
    )
    .action(run)

async function run(sandboxId: string, mappings: PortMapping[]): Promise<void> {
  const { connect } = await import('../../account/connection.ts')
  const { orMissing, missing } = await import('../../account/missing.ts')
  const { edgeAddress } = await import('../../forward/edge-address.ts')
  const { createHttpForwarder } = await import('../../forward/http-forwarder.ts')
  const { listenLocally } = await import('../../forward/local-port.ts')
  const { relayTcp } = await import('../../forward/tcp-relay.ts')
  const { keepAlive } = await import('../../terminal/keep-alive.ts')
  const { sdk, opts } = await connect()
  const sandbox = await orMissing(sandboxId, sdk.Sandbox.connect(sandboxId, opts))
  const { sandboxUrl } = new sdk.ConnectionConfig(opts)

  // listens before the announcement, as a reader of the announcement may end the process at once
  const signals = (['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map((signal) => once(process, signal))
  for (const { localPort, remotePort } of mappings) {
    const http = createHttpForwarder(edgeAddress(sandbox, remotePort, sandboxUrl))
    const { port } = await listenLocally(localPort, {
      http: (socket) => {
        http.emit('connection', socket)
        socket.resume()
      },
      tcp: (socket) => {
        relayTcp(socket, sandbox, remotePort).catch((error: Error) => {
          note(`Port ${remotePort}: ${error.message}`)
          socket.destroy()
        })
      },
    })
    await print(`Forwarding 127.0.0.1:${port} → ${sandboxId}:${remotePort}`)
  }

  const ended = new Promise<'ended'>((resolve) => {
    keepAlive(sandbox).onTrouble((trouble) => trouble === 'ended' && resolve('ended'))
  })
  const ending = await Promise.race([ended, ...signals])
  if (ending === 'ended') throw missing(sandboxId)
  process.exit()
}
