import { SandlotError, sandboxIdIn } from '@sandlot/protocol'
import { getSandboxesMetrics, getSandboxMetrics, type SandboxMetric } from '@sandlot/protocol/rest'
import type { App, Handler } from '../http/app.ts'
import type { SandboxService } from '../sandboxes/service.ts'
import type { MetricsService } from './service.ts'

const MAX_IDS = 100

export interface MetricsRoutesOptions {
  sandboxes: SandboxService
  metrics: MetricsService
  now: () => number
}

/** Samples of CPU, memory and disk of sandboxes. */
export function metricsRoutes(app: App, options: MetricsRoutesOptions): void {
  app.get('/sandboxes/metrics', { schema: getSandboxesMetrics }, getNewest(options))
  app.get('/sandboxes/:sandboxID/metrics', { schema: getSandboxMetrics }, getRange(options))
}

const getNewest =
  ({ sandboxes, metrics }: MetricsRoutesOptions): Handler<typeof getSandboxesMetrics> =>
  async (request) => {
    const names = request.query.sandbox_ids.split(',').filter(Boolean)
    if (names.length > MAX_IDS)
      throw new SandlotError(
        'invalid_request',
        `sandbox_ids has ${names.length} ids: at most ${MAX_IDS} are allowed`,
      )
    const found = names.flatMap((name): Array<[string, SandboxMetric]> => {
      const id = sandboxIdIn(name)
      const metric = sandboxes.isRunning(request.caller.team, id) ? metrics.latest(id) : undefined
      return metric ? [[name, metric]] : []
    })
    return { sandboxes: Object.fromEntries(found) }
  }

const getRange =
  ({ sandboxes, metrics, now }: MetricsRoutesOptions): Handler<typeof getSandboxMetrics> =>
  async (request) => {
    const { sandboxId } = sandboxes.get(request.caller.team, request.params.sandboxID)
    const { start = 0, end } = request.query
    if (end !== undefined && end < start)
      throw new SandlotError('invalid_request', `end ${end} is before start ${start}`)
    return metrics.range(sandboxId, start * 1000, end === undefined ? now() : end * 1000 + 999)
  }
