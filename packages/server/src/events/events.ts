import { randomUUID } from 'node:crypto'
import type { SandboxEventData } from '@sandlot/protocol/rest'
import type { EventRow } from '../sandboxes/repository.ts'
import type { LiveSandbox } from '../sandboxes/sandbox.ts'

export type LifecycleAction = 'created' | 'updated' | 'killed' | 'paused' | 'resumed' | 'checkpointed'

const labels: Record<LifecycleAction, string> = {
  created: 'create',
  updated: 'update',
  killed: 'kill',
  paused: 'pause',
  resumed: 'resume',
  checkpointed: 'checkpoint',
}

/**
 * Envelope of an event (wire spec, section 11). Rows of events lack `event_data.sandbox_metadata`, which is stored once
 * in the sandbox's row; the repository adds it to answers.
 */
export interface LifecycleEvent {
  id: string
  version: 'v2'
  type: string
  timestamp: string
  event_category: 'lifecycle'
  event_label: string
  event_data: SandboxEventData
  sandbox_id: string
  sandbox_execution_id: string
  sandbox_template_id: string
  sandbox_build_id: string
  sandbox_team_id: string
}

export function lifecycleEvent(
  action: LifecycleAction,
  sandbox: LiveSandbox,
  atMs: number,
  data: SandboxEventData = {},
): EventRow {
  const event: LifecycleEvent = {
    id: randomUUID(),
    version: 'v2',
    type: `sandbox.lifecycle.${action}`,
    timestamp: new Date(atMs).toISOString(),
    event_category: 'lifecycle',
    event_label: labels[action],
    event_data: data,
    sandbox_id: sandbox.sandboxId,
    sandbox_execution_id: sandbox.executionId,
    sandbox_template_id: sandbox.templateId,
    sandbox_build_id: sandbox.buildId,
    sandbox_team_id: sandbox.teamId,
  }
  return {
    id: event.id,
    team_id: sandbox.teamId,
    sandbox_id: sandbox.sandboxId,
    type: event.type,
    timestamp: atMs,
    body: JSON.stringify(event),
  }
}

export const killedEvent = (sandbox: LiveSandbox, atMs: number, reason: string): EventRow =>
  lifecycleEvent('killed', sandbox, atMs, {
    kill_reason: reason,
    execution: {
      started_at: new Date(sandbox.startedAtMs).toISOString(),
      vcpu_count: sandbox.cpuCount,
      memory_mb: sandbox.memoryMB,
      execution_time: Math.max(0, atMs - sandbox.startedAtMs),
    },
  })
