import { z } from 'zod'
import type { SandboxInfo } from '../sdk.ts'
import { defineTool, lifeSeconds, sandboxId } from './tool.ts'

const LISTED_MAX = 100

const listed = {
  sandbox_id: z.string(),
  state: z.enum(['running', 'paused']),
  template: z.string().describe('Name of the template, or its id when it has no name.'),
  started_at: z.string(),
  ends_at: z.string().describe('When the sandbox is killed or paused, unless a call extends that time.'),
  cpu_count: z.number(),
  memory_mb: z.number(),
  metadata: z.record(z.string(), z.string()),
}

const toListed = (info: SandboxInfo) => ({
  sandbox_id: info.sandboxId,
  state: info.state,
  template: info.name ?? info.templateId,
  started_at: info.startedAt.toISOString(),
  ends_at: info.endAt.toISOString(),
  cpu_count: info.cpuCount,
  memory_mb: info.memoryMB,
  metadata: info.metadata,
})

const labels = z.record(z.string().max(256), z.string().max(2048))

export const createSandbox = defineTool({
  name: 'create_sandbox',
  title: 'Create a sandbox',
  description: `
Creates an isolated Linux machine and returns its sandbox_id, which all other tools take. Takes less than a second.

Use it before the first run_command, run_code or write_file; go on with the same sandbox for related work, as files and installed packages stay in it. Templates: 'base' (Debian with bash, Python, Node, git, curl) for commands and files; 'code-interpreter-v1' for run_code with plots and data libraries; list_templates shows all.

The sandbox ends when its time to live is over: every tool call that works inside it extends that time to at least 5 minutes from then, and set_sandbox_timeout changes it. With on_timeout 'pause' it is saved instead of killed, and the next call resumes it. Call kill_sandbox when the work is done.

Errors: an unknown template (see list_templates); too many sandboxes or a rate limit (kill what is not needed, or wait and repeat).`,
  hints: { openWorld: true },
  input: {
    template: z
      .string()
      .min(1)
      .max(256)
      .default('base')
      .describe("Name or id of a template, or id of a snapshot. Default 'base'."),
    timeout_seconds: lifeSeconds
      .default(600)
      .describe('Time to live in seconds, 15 to 86400. Default 600 (10 minutes).'),
    on_timeout: z
      .enum(['kill', 'pause'])
      .default('kill')
      .describe("What happens when the time to live is over. Default 'kill', which loses everything in it."),
    envs: z
      .record(z.string().max(256), z.string().max(32_768))
      .optional()
      .describe('Environment variables of all commands. Default none.'),
    metadata: labels
      .optional()
      .describe('Your own labels, by which list_sandboxes can filter. Default none.'),
    allow_internet: z
      .boolean()
      .default(true)
      .describe('false: programs in the sandbox cannot reach the internet. Default true.'),
  },
  output: {
    sandbox_id: z.string(),
    template: z.string(),
    ends_at: z.string().describe('When the sandbox is killed or paused, unless a call extends that time.'),
  },
  async run(
    { template, timeout_seconds, on_timeout, envs, metadata, allow_internet },
    { connection, signal },
  ) {
    const sandbox = await connection.Sandbox.create(template, {
      timeoutMs: timeout_seconds * 1000,
      envs,
      metadata,
      ...(!allow_internet && { allowInternetAccess: false }),
      lifecycle: { onTimeout: on_timeout },
      signal,
    })
    const ends_at = new Date(Date.now() + timeout_seconds * 1000).toISOString()
    return { sandbox_id: sandbox.sandboxId, template, ends_at }
  },
})

export const listSandboxes = defineTool({
  name: 'list_sandboxes',
  title: 'List sandboxes',
  description: `
Lists the sandboxes of the API key's team, running and paused, the newest first.

Use it to find a sandbox of earlier work, to see which ones still run, or after an error 'sandbox not found'. Returns at most 'limit' sandboxes; when next_cursor is there, call again with it as 'cursor' for more.`,
  hints: { readOnly: true, idempotent: true },
  input: {
    state: z.enum(['running', 'paused']).optional().describe('Only sandboxes in this state. Default both.'),
    metadata: labels.optional().describe('Only sandboxes with all these labels. Default no filter.'),
    limit: z
      .number()
      .int()
      .min(1)
      .max(LISTED_MAX)
      .default(50)
      .describe(`Most sandboxes of one answer, 1 to ${LISTED_MAX}. Default 50.`),
    cursor: z
      .string()
      .max(1024)
      .optional()
      .describe('next_cursor of the previous answer. Default the first page.'),
  },
  output: {
    sandboxes: z.array(z.object(listed)),
    next_cursor: z.string().optional().describe('There is more: pass this as cursor.'),
  },
  async run({ state, metadata, limit, cursor }, { connection, signal }) {
    const pages = connection.Sandbox.list({
      query: { metadata, ...(state && { state: [state] }) },
      limit,
      nextToken: cursor,
    })
    const sandboxes = (await pages.nextItems({ signal })).map(toListed)
    return { sandboxes, ...(pages.nextToken !== undefined && { next_cursor: pages.nextToken }) }
  },
})

export const getSandbox = defineTool({
  name: 'get_sandbox',
  title: 'Describe a sandbox',
  description: `
Returns state, end of life, template and size of one sandbox. Does not resume a paused sandbox and does not extend its time to live.

Errors: 'not found' means that it was killed, ran out of time, or belongs to another team; create another one.`,
  hints: { readOnly: true, idempotent: true },
  input: { sandbox_id: sandboxId },
  output: { ...listed, on_timeout: z.enum(['kill', 'pause']).optional() },
  async run({ sandbox_id }, { connection, signal }) {
    const info = await connection.Sandbox.getInfo(sandbox_id, { signal })
    return { ...toListed(info), ...(info.lifecycle && { on_timeout: info.lifecycle.onTimeout }) }
  },
})

export const setSandboxTimeout = defineTool({
  name: 'set_sandbox_timeout',
  title: 'Change how long a sandbox lives',
  description: `
Sets the time to live of a running sandbox, counted from now. Use it before a long pause of yours, for a server that must stay up, or to end a sandbox sooner. May also shorten the time.

Errors: 'not found' means that the sandbox is over; a number above what the team's plan allows is refused.`,
  hints: { idempotent: true },
  input: { sandbox_id: sandboxId, timeout_seconds: lifeSeconds },
  output: { sandbox_id: z.string(), ends_at: z.string() },
  async run({ sandbox_id, timeout_seconds }, { connection, signal }) {
    await connection.Sandbox.setTimeout(sandbox_id, timeout_seconds * 1000, { signal })
    return { sandbox_id, ends_at: new Date(Date.now() + timeout_seconds * 1000).toISOString() }
  },
})

export const killSandbox = defineTool({
  name: 'kill_sandbox',
  title: 'Kill a sandbox',
  description: `
Ends a sandbox, running or paused, and deletes its files and its checkpoints for good. Read what you still need before. Other sandboxes that were forked from it go on.

Returns killed: false when there was no such sandbox any more, which is no error.`,
  hints: { destructive: true, idempotent: true },
  input: { sandbox_id: sandboxId },
  output: { sandbox_id: z.string(), killed: z.boolean() },
  async run({ sandbox_id }, { connection, signal }) {
    return { sandbox_id, killed: await connection.Sandbox.kill(sandbox_id, { signal }) }
  },
})
