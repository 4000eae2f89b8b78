import { ENVD_VERSION } from '@sandlot/protocol'
import type { VolumeMount } from '@sandlot/protocol/node'
import type { ListedSandbox, Sandbox, SandboxDetail, SandboxNetworkConfig } from '@sandlot/protocol/rest'
import { networkWarnings } from './network-policy.ts'
import type { LiveSandbox } from './sandbox.ts'

const CLIENT_ID = 'sandlot'

export const toSandbox = (sandbox: LiveSandbox, domain: string): Sandbox => ({
  templateID: sandbox.templateId,
  alias: sandbox.templateName,
  sandboxID: sandbox.sandboxId,
  clientID: CLIENT_ID,
  envdVersion: ENVD_VERSION,
  envdAccessToken: sandbox.envdAccessToken,
  trafficAccessToken: sandbox.settings.trafficAccessToken ?? null,
  domain,
  warnings: networkWarnings(sandbox.settings),
})

export const toListed = (sandbox: LiveSandbox): ListedSandbox => ({
  templateID: sandbox.templateId,
  alias: sandbox.templateName,
  sandboxID: sandbox.sandboxId,
  clientID: CLIENT_ID,
  startedAt: new Date(sandbox.startedAtMs).toISOString(),
  endAt: new Date(sandbox.endAtMs).toISOString(),
  cpuCount: sandbox.cpuCount,
  memoryMB: sandbox.memoryMB,
  diskSizeMB: sandbox.diskSizeMB,
  metadata: sandbox.metadata,
  state: sandbox.state === 'running' ? 'running' : 'paused',
  envdVersion: ENVD_VERSION,
  envdUnresponsiveAtPause: savedAs(sandbox)?.isGuestUnresponsive || undefined,
  volumeMounts: sandbox.settings.volumeMounts?.map(toShownMount),
})

export const toShownMount = ({ name, path, isReadOnly }: VolumeMount) => ({
  name,
  path,
  readOnly: isReadOnly,
})

/** How a paused sandbox was saved; undefined in every other state. */
const savedAs = ({ state, saved }: LiveSandbox) => (state === 'paused' ? saved : undefined)

const pauseModeOf = (sandbox: LiveSandbox): SandboxDetail['pauseMode'] => {
  const saved = savedAs(sandbox)
  return saved && (saved.hasMemory ? 'full' : 'filesystem')
}

/** Leaves out what is only written: the password of the proxy and its authority. */
function shownNetwork(network: SandboxNetworkConfig | undefined): SandboxNetworkConfig | undefined {
  if (!network?.egressProxy) return network
  const { address, username, tls } = network.egressProxy
  const shownTls = tls && { enabled: tls.enabled, serverName: tls.serverName }
  return { ...network, egressProxy: { address, username, ...(shownTls && { tls: shownTls }) } }
}

export const toDetail = (sandbox: LiveSandbox, domain: string): SandboxDetail => ({
  ...toListed(sandbox),
  envdAccessToken: sandbox.envdAccessToken,
  allowInternetAccess: sandbox.settings.allowInternetAccess ?? null,
  domain,
  network: shownNetwork(sandbox.settings.network),
  warnings: networkWarnings(sandbox.settings),
  pauseMode: pauseModeOf(sandbox),
  lifecycle: {
    autoResume: sandbox.settings.autoResume === true,
    onTimeout: sandbox.settings.autoPause ? 'pause' : 'kill',
  },
})
