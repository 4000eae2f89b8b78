import type { Schema } from '../api/schema.ts'
import { type SandboxNetworkInfo, toNetworkInfo } from './network.ts'

export type SandboxState = 'running' | 'paused'

export type SandboxInfoLifecycle = {
  /** What happens when the time to live is over. */
  onTimeout: 'pause' | 'kill'
  /** Whether a request resumes the paused sandbox. */
  autoResume: boolean
}

/** Information about a sandbox. */
export interface SandboxInfo {
  sandboxId: string
  templateId: string
  /** Name of the template. */
  name?: string
  metadata: Record<string, string>
  startedAt: Date
  /** When the sandbox will be killed or paused. */
  endAt: Date
  state: SandboxState
  cpuCount: number
  /** In MiB. */
  memoryMB: number
  envdVersion: string
  /** Undefined when it was not set. */
  allowInternetAccess?: boolean | undefined
  network?: SandboxNetworkInfo
  /** What was accepted but probably not meant, such as network rules for a domain that is not allowed. */
  warnings?: string[]
  lifecycle?: SandboxInfoLifecycle
  volumeMounts?: Array<{ name: string; path: string; readOnly?: boolean }>
  /** Domain of the sandbox's host names. */
  sandboxDomain?: string
}

/** Resource usage of a sandbox at one moment. Memory and disk are in bytes. */
export interface SandboxMetrics {
  timestamp: Date
  /** In percent of one core. */
  cpuUsedPct: number
  cpuCount: number
  memUsed: number
  memTotal: number
  /** Page cache. */
  memCache: number
  diskUsed: number
  diskTotal: number
}

/** A snapshot. */
export interface SnapshotInfo {
  /** Pass this id to `Sandbox.create()` to start from the snapshot. */
  snapshotId: string
  /** Full names, `namespace/name:tag`. */
  names: string[]
}

/** Address and tokens of one sandbox, as create, connect and fork return them. */
export interface SandboxAccess {
  sandboxId: string
  sandboxDomain: string | undefined
  envdVersion: string
  envdAccessToken: string | undefined
  trafficAccessToken: string | undefined
}

export function toSandboxInfo(
  sandbox: Schema<'ListedSandbox'> & Partial<Schema<'SandboxDetail'>>,
): SandboxInfo {
  const { allowInternetAccess, network, lifecycle, domain } = sandbox
  return {
    sandboxId: sandbox.sandboxID,
    templateId: sandbox.templateID,
    ...(sandbox.alias && { name: sandbox.alias }),
    metadata: sandbox.metadata ?? {},
    envdVersion: sandbox.envdVersion,
    allowInternetAccess: allowInternetAccess ?? undefined,
    startedAt: new Date(sandbox.startedAt),
    endAt: new Date(sandbox.endAt),
    state: sandbox.state,
    cpuCount: sandbox.cpuCount,
    memoryMB: sandbox.memoryMB,
    network: network && toNetworkInfo(network),
    ...(sandbox.warnings && { warnings: sandbox.warnings }),
    lifecycle: lifecycle && { onTimeout: lifecycle.onTimeout, autoResume: lifecycle.autoResume },
    sandboxDomain: domain ?? undefined,
    volumeMounts: sandbox.volumeMounts ?? [],
  }
}

export const toSandboxMetrics = (metric: Schema<'SandboxMetric'>): SandboxMetrics => ({
  timestamp: new Date(metric.timestamp),
  cpuUsedPct: metric.cpuUsedPct,
  cpuCount: metric.cpuCount,
  memUsed: metric.memUsed,
  memTotal: metric.memTotal,
  memCache: metric.memCache,
  diskUsed: metric.diskUsed,
  diskTotal: metric.diskTotal,
})

export const toSnapshotInfo = ({ snapshotID, names }: Schema<'SnapshotInfo'>): SnapshotInfo => ({
  snapshotId: snapshotID,
  names: names ?? [],
})

export const toSandboxAccess = (sandbox: Schema<'Sandbox'>): SandboxAccess => ({
  sandboxId: sandbox.sandboxID,
  sandboxDomain: sandbox.domain || undefined,
  envdVersion: sandbox.envdVersion,
  envdAccessToken: sandbox.envdAccessToken,
  trafficAccessToken: sandbox.trafficAccessToken ?? undefined,
})
