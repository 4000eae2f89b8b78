import { z } from 'zod'
import type { SandboxCheckpoint } from '../sdk.ts'
import { defineTool, lifeSeconds, sandboxId } from './tool.ts'

const checkpoint = {
  checkpoint_id: z.string(),
  created_at: z.string(),
  reason: z.string().describe("'checkpoint' (checkpoint_sandbox), 'pause', 'auto-pause' or 'snapshot'."),
  has_memory: z
    .boolean()
    .describe('false: files only; a rollback starts the programs of the template again.'),
  is_head: z.boolean().describe('The sandbox was last started from it, or is paused in it.'),
  size_bytes: z.number(),
}

const toCheckpoint = (saved: SandboxCheckpoint) => ({
  checkpoint_id: saved.checkpointId,
  created_at: saved.createdAt.toISOString(),
  reason: saved.why,
  has_memory: saved.hasMemory,
  is_head: saved.isHead,
  size_bytes: saved.sizeBytes,
})

export const forkSandbox = defineTool({
  name: 'fork_sandbox',
  title: 'Copy a running sandbox',
  description: `
Copies a running sandbox, with its files, memory and running programs, into new sandboxes that go on independently; the original is not changed. Takes about a second.

Use it to try several solutions from one prepared state at the same time, or to try something risky in a copy. A paused sandbox must be resumed first (resume_sandbox).

Returns the ids of the copies. When only some could be started, 'errors' says why the others were not.`,
  hints: { openWorld: true },
  input: {
    sandbox_id: sandboxId,
    count: z.number().int().min(1).max(20).default(1).describe('Number of copies, 1 to 20. Default 1.'),
    timeout_seconds: lifeSeconds
      .default(600)
      .describe('Time to live of each copy in seconds, 15 to 86400. Default 600.'),
  },
  output: { sandbox_ids: z.array(z.string()), errors: z.array(z.string()).optional() },
  async run({ sandbox_id, count, timeout_seconds }, { connection, signal }) {
    const outcomes = await connection.Sandbox.fork(sandbox_id, {
      count,
      timeoutMs: timeout_seconds * 1000,
      signal,
    })
    const errors = outcomes.flatMap((outcome) => (outcome instanceof Error ? [outcome.message] : []))
    if (errors.length === outcomes.length && errors.length > 0) throw new Error(errors[0])
    return {
      sandbox_ids: outcomes.flatMap((outcome) => (outcome instanceof Error ? [] : [outcome.sandboxId])),
      ...(errors.length > 0 && { errors }),
    }
  },
})

export const checkpointSandbox = defineTool({
  name: 'checkpoint_sandbox',
  title: 'Save the state of a sandbox',
  description: `
Saves files, memory and running programs of a running sandbox as a checkpoint; the sandbox goes on. rollback_sandbox returns to it.

Use it before a step that may go wrong: an upgrade, a migration, a large edit. A sandbox keeps its last 3 checkpoints; older ones are deleted. They end with the sandbox.

Errors: 409 while the sandbox is paused (resume_sandbox first); 429 when the team stores as much as it may; 507 when the server's disk is full.`,
  hints: {},
  input: { sandbox_id: sandboxId },
  output: checkpoint,
  async run({ sandbox_id }, { connection, signal }) {
    return toCheckpoint(await connection.Sandbox.checkpoint(sandbox_id, { signal }))
  },
})

export const listCheckpoints = defineTool({
  name: 'list_checkpoints',
  title: 'List the checkpoints of a sandbox',
  description: `
Lists the saved states of a sandbox, the oldest first: those of checkpoint_sandbox and those that pauses made. Use it to find a checkpoint_id for rollback_sandbox.`,
  hints: { readOnly: true, idempotent: true },
  input: { sandbox_id: sandboxId },
  output: { checkpoints: z.array(z.object(checkpoint)) },
  async run({ sandbox_id }, { connection, signal }) {
    const { checkpoints } = await connection.Sandbox.tree(sandbox_id, { signal })
    return { checkpoints: checkpoints.map(toCheckpoint) }
  },
})

export const rollbackSandbox = defineTool({
  name: 'rollback_sandbox',
  title: 'Return to a checkpoint',
  description: `
Sets a sandbox back to a checkpoint: files, memory and programs are as they were then. Everything since is lost, unless another checkpoint has it. The sandbox_id stays.

Errors: 'checkpoint not found' when the sandbox has no such checkpoint or it was deleted (list_checkpoints shows those that exist).`,
  hints: { destructive: true, idempotent: true },
  input: {
    sandbox_id: sandboxId,
    checkpoint_id: z
      .string()
      .max(100)
      .regex(/^[\w-]+$/, 'an id has letters, digits, - and _')
      .describe('As checkpoint_sandbox or list_checkpoints return it.'),
  },
  output: { sandbox_id: z.string(), checkpoint_id: z.string() },
  async run({ sandbox_id, checkpoint_id }, { connection, signal }) {
    await connection.Sandbox.rollback(sandbox_id, checkpoint_id, { signal })
    return { sandbox_id, checkpoint_id }
  },
})

export const pauseSandbox = defineTool({
  name: 'pause_sandbox',
  title: 'Pause a sandbox',
  description: `
Saves a sandbox with memory and running programs and stops it, so that it costs no processor and no memory. It stays until it is killed. Open connections to it are cut.

Use it to keep work for later. resume_sandbox continues it, and so does any call that works inside it (run_command, read_file, …). Returns was_running: false when it was paused already.`,
  hints: { idempotent: true },
  input: { sandbox_id: sandboxId },
  output: { sandbox_id: z.string(), was_running: z.boolean() },
  async run({ sandbox_id }, { connection, signal }) {
    return { sandbox_id, was_running: await connection.Sandbox.pause(sandbox_id, { signal }) }
  },
})

export const resumeSandbox = defineTool({
  name: 'resume_sandbox',
  title: 'Resume a sandbox',
  description: `
Continues a paused sandbox where it was, with memory and programs, within about a second. For a running sandbox it only extends the time to live; a longer remaining time is not shortened.

Errors: 'not found' means that the sandbox was killed.`,
  hints: { idempotent: true, openWorld: true },
  input: {
    sandbox_id: sandboxId,
    timeout_seconds: lifeSeconds
      .default(600)
      .describe('Time to live in seconds from now, 15 to 86400. Default 600.'),
  },
  output: { sandbox_id: z.string() },
  async run({ sandbox_id, timeout_seconds }, { connection, signal }) {
    await connection.Sandbox.connect(sandbox_id, { timeoutMs: timeout_seconds * 1000, signal })
    return { sandbox_id }
  },
})
