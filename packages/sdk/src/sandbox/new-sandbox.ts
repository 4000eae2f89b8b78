import type { Schema } from '../api/schema.ts'
import { anyTokens, assertTokenNames, registeredTokens } from './iam.ts'
import { lifecycleFields } from './lifecycle.ts'
import { resolveNetwork, type SandboxNetworkUpdate } from './network.ts'
import type { SandboxOpts } from './options.ts'
import { mountBody } from './volume-mounts.ts'

/** Converts to whole seconds, the unit of the API. */
export const toSeconds = (ms: number): number => Math.ceil(ms / 1000)

/** Makes the body of the create request. Options that are not set are left out, as the server has the defaults. */
export function newSandbox(
  template: string,
  timeoutMs: number | undefined,
  opts: SandboxOpts = {},
): Schema<'NewSandboxV2'> {
  const tokens = opts.iam?.tokens ?? {}
  assertTokenNames(tokens)
  const { network, volumeMounts } = opts
  return {
    templateID: template,
    metadata: opts.metadata,
    mcp: opts.mcp as Schema<'Mcp'> | undefined,
    envVars: opts.envs,
    timeout: timeoutMs === undefined ? undefined : toSeconds(timeoutMs),
    allow_internet_access: opts.allowInternetAccess,
    network: network && {
      ...resolveNetwork(network, registeredTokens(tokens)),
      allowPublicTraffic: network.allowPublicTraffic,
      maskRequestHost: network.maskRequestHost,
      httpsPorts: network.httpsPorts,
    },
    iam: Object.keys(tokens).length > 0 ? { tokens } : undefined,
    volumeMounts:
      volumeMounts &&
      Object.entries(volumeMounts).map(([path, mount]) =>
        typeof mount === 'object' && 'volume' in mount
          ? mountBody(path, mount.volume, mount.readOnly)
          : mountBody(path, mount),
      ),
    ...lifecycleFields(opts.lifecycle),
  }
}

export const networkUpdate = (
  network: SandboxNetworkUpdate,
  closeExisting?: boolean,
): Schema<'SandboxNetworkUpdateConfig'> => ({
  ...resolveNetwork(network, anyTokens()),
  allow_internet_access: network.allowInternetAccess,
  closeExisting,
})
