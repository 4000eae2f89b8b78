import { z } from 'zod'
import { apiFailure } from '../failure.ts'
import { defineTool } from './tool.ts'

export const listTemplates = defineTool({
  name: 'list_templates',
  title: 'List templates',
  description: `
Lists the templates that create_sandbox can start from: those of the server and those of the team. Use it when 'base' lacks what the work needs. Only templates with status 'ready' can be used.

Returns at most 'limit' templates; when next_cursor is there, call again with it as 'cursor' for more.`,
  hints: { readOnly: true, idempotent: true },
  input: {
    limit: z.number().int().min(1).max(100).default(50).describe('1 to 100. Default 50.'),
    cursor: z
      .string()
      .max(1024)
      .optional()
      .describe('next_cursor of the previous answer. Default the first page.'),
  },
  output: {
    templates: z.array(
      z.object({
        name: z.string().describe('Pass this to create_sandbox.'),
        description: z.string().optional(),
        status: z.string(),
        cpu_count: z.number(),
        memory_mb: z.number(),
      }),
    ),
    next_cursor: z.string().optional(),
  },
  async run({ limit, cursor }, { connection, signal }) {
    const answer = await connection.api.GET('/v2/templates', {
      params: { query: { limit, nextToken: cursor } },
      signal,
    })
    const failure = apiFailure(answer)
    if (failure) throw failure
    const next = answer.response.headers.get('x-next-token')
    return {
      templates: (answer.data ?? []).map((template) => ({
        name: template.aliases[0] ?? template.names[0] ?? template.templateID,
        ...(template.description && { description: template.description }),
        status: template.buildStatus,
        cpu_count: template.cpuCount,
        memory_mb: template.memoryMB,
      })),
      ...(next && { next_cursor: next }),
    }
  },
})
