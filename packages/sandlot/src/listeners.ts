import { type CertificateStore, createListener, type Edge, type Listener } from '@sandlot/edge'
import type { ControlPlane } from '@sandlot/server'
import type { Logger } from 'pino'
import type { Config } from './config.ts'
import { connectionLimits } from './connection-limits.ts'
import { isForSandboxes, type Traffic } from './traffic.ts'

export interface ListenersInputs {
  config: Config
  /** Addresses to listen on. */
  hosts: string[]
  /** Addresses of the listener for sandboxes only. */
  sandboxHosts?: string[]
  logger: Logger
}

export interface ListenersTargets {
  tls: CertificateStore
  edge: Edge
  /** Answers requests that are not for a sandbox. */
  api: Pick<ControlPlane['fastify'], 'routing'>
  traffic: Traffic
}

/** Opens the listener for all requests, and with `sandboxHosts` one for sandboxes only. */
export async function openListeners(
  { config, hosts, sandboxHosts, logger }: ListenersInputs,
  targets: ListenersTargets,
): Promise<Listener[]> {
  const onFailure = (error: unknown) =>
    logger.error({ err: error }, 'a request caused an unexpected error: its connection was closed')
  const limits = { ...connectionLimits(config.settings, logger), onFailure }
  const { tls } = targets
  const { listen, sandboxListen } = config
  const all = await createListener({ hosts, port: listen.port, tls, ...limits, ...allRequests(targets) })
  if (!sandboxListen) return [all]
  const sandboxes = await createListener({
    hosts: sandboxHosts ?? sandboxListen.hosts,
    port: sandboxListen.port,
    tls,
    ...limits,
    ...sandboxRequests(targets),
  })
  return [all, sandboxes]
}

type Handlers = Pick<Parameters<typeof createListener>[0], 'onRequest' | 'onUpgrade'>

const allRequests = ({ edge, api, traffic }: ListenersTargets): Handlers => ({
  onRequest(request, response, connection) {
    if (edge.claims(request)) {
      traffic.add(response)
      edge.handle(request, response)
    } else {
      if (isForSandboxes(request)) traffic.add(response)
      connection.endSoon()
      api.routing(request as never, response as never)
    }
  },
  onUpgrade(request, socket, head) {
    traffic.add(socket)
    edge.handleUpgrade(request, socket, head)
  },
})

const sandboxRequests = ({ edge, traffic }: ListenersTargets): Handlers => ({
  onRequest(request, response) {
    traffic.add(response)
    edge.handle(request, response, 'sandboxes')
  },
  onUpgrade(request, socket, head) {
    traffic.add(socket)
    edge.handleUpgrade(request, socket, head, 'sandboxes')
  },
})
