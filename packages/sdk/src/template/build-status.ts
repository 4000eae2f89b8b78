import type { ApiClient } from '../api/client.ts'
import { apiErrorOf } from '../api/error.ts'
import type { Schema } from '../api/schema.ts'
import type { ConnectionConfig } from '../connection-config.ts'
import { BuildError } from '../errors.ts'
import { stackFrom } from './caller-trace.ts'
import { LogEntry } from './log-entry.ts'
import type { Traces } from './template-draft.ts'
import type { TemplateBuildStatusResponse } from './types.ts'

const POLL_INTERVAL_MS = 200

/** Request for the status of a build, with the log from an offset on. */
export interface StatusRequest {
  api: ApiClient['api']
  config: ConnectionConfig
  templateId: string
  buildId: string
  signal?: AbortSignal
}

/** @throws {@link BuildError} if the server does not know the build */
export async function fetchBuildStatus(
  { api, config, templateId, buildId, signal }: StatusRequest,
  logsOffset?: number,
): Promise<TemplateBuildStatusResponse> {
  const answer = await api.GET('/templates/{templateID}/builds/{buildID}/status', {
    params: { path: { templateID: templateId, buildID: buildId }, query: { logsOffset } },
    signal: config.getSignal(undefined, signal),
  })
  const error = apiErrorOf(answer, BuildError)
  if (error) throw error
  return statusOf(answer.data!)
}

/**
 * Polls until the build has ended and its whole log has been read.
 *
 * @throws {@link BuildError} if the build failed, with the caller's line that added the failed step
 */
export async function waitForBuild(
  request: StatusRequest,
  traces: Traces,
  onLog: (entry: LogEntry) => void,
): Promise<void> {
  for (let logsOffset = 0; ; ) {
    const { status, reason, logEntries } = await fetchBuildStatus(request, logsOffset)
    logEntries.forEach(onLog)
    logsOffset += logEntries.length
    const hasEnded = status === 'ready' || status === 'error'
    if (hasEnded && logEntries.length === 0) {
      if (status === 'error') throw failure(reason?.message, traceOfStep(traces, reason?.step))
      return
    }
    await pause(POLL_INTERVAL_MS, request.signal)
  }
}

/** Returns the caller's line that added a step. The server names a step `base`, `finalize`, or by its number from 1. */
export function traceOfStep(traces: Traces, step: string | undefined): string | undefined {
  if (step === 'base' || step === '0') return traces.base
  if (step === 'finalize') return traces.finalize
  return traces.steps[Number(step) - 1]
}

function failure(
  message: string = 'The build failed without a reason',
  trace: string | undefined,
): BuildError {
  return new BuildError(message, trace && stackFrom({ name: 'BuildError', message }, trace))
}

function statusOf(info: Schema<'TemplateBuildInfo'>): TemplateBuildStatusResponse {
  const { buildID, templateID, status, logs, logEntries, reason } = info
  return {
    buildID,
    templateID,
    status,
    logEntries: entries(logEntries),
    logs,
    ...(reason && {
      reason: { message: reason.message, step: reason.step, logEntries: entries(reason.logEntries) },
    }),
  }
}

const entries = (list: Schema<'BuildLogEntry'>[] | undefined): LogEntry[] =>
  (list ?? []).map(({ timestamp, level, message }) => new LogEntry(new Date(timestamp), level, message))

/** Waits `ms` milliseconds; rejects with the signal's reason when the signal is aborted. */
function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted()
    const onAbort = () => {
      clearTimeout(timer)
      reject(signal!.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
