import type { SandboxOperations } from './operations.ts'
import type { Pauses } from './pauses.ts'

/** Least time to live after a resume by traffic, so that the sandbox does not end a moment later. */
const MIN_AUTO_RESUME_SECONDS = 300

/**
 * Resumes a paused sandbox that traffic arrived for, if it was created with `autoResume`. Concurrent requests share one
 * resume. A sandbox that would have to boot stays paused: a request without credentials must not discard processes that
 * the owner may expect to keep.
 */
export async function autoResume(
  operations: SandboxOperations,
  pauses: Pauses,
  sandboxId: string,
): Promise<void> {
  await operations.exclusively(sandboxId, async () => {
    const sandbox = operations.registry.get(sandboxId)
    if (sandbox?.state !== 'paused' || !sandbox.settings.autoResume) return
    if (!sandbox.saved?.hasMemory || sandbox.saved.isGuestUnresponsive) return
    const team = await operations.teamOf(sandbox.teamId)
    if (!team) return
    const seconds = Math.max(MIN_AUTO_RESUME_SECONDS, sandbox.settings.timeoutSeconds)
    await pauses.resumeLocked(sandbox, team, seconds, true, 'traffic')
  })
}
