import { z } from 'zod'
import { defineTool, sandboxId } from './tool.ts'

export const getPortUrl = defineTool({
  name: 'get_port_url',
  title: 'URL of a port of a sandbox',
  description: `
Returns the https URL at which a server inside the sandbox answers from outside, for example a development server that run_command started with background: true. When the URL answers 502, nothing listens on the port yet.

The URL works while the sandbox runs. Programs of a browser, of the user or of you can open it; 'headers', if there, must be sent with each request.`,
  hints: { readOnly: true, idempotent: true },
  input: { sandbox_id: sandboxId, port: z.number().int().min(1).max(65_535).describe('1 to 65535.') },
  output: {
    url: z.string(),
    headers: z
      .record(z.string(), z.string())
      .optional()
      .describe('The sandbox accepts only requests with these headers.'),
  },
  async run({ sandbox_id, port }, { connection, signal }) {
    const sandbox = await connection.open(sandbox_id, signal)
    const token = sandbox.trafficAccessToken
    return {
      url: `https://${sandbox.getHost(port)}`,
      ...(token && { headers: { 'e2b-traffic-access-token': token } }),
    }
  },
})
