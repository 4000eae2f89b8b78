// `node telegram-bot-api.ts --port 8901 --token 1:a --record /tmp/bot.jsonl`: Telegram's Bot API for one bot with one user, whose
// messages are posted to /say. Imports nothing but Node, so that a test may upload it into a sandbox. https://core.telegram.org/bots/api
import { appendFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    token: { type: 'string' },
    /** File that gets each call as a line of JSON. */
    record: { type: 'string' },
  },
})

const MAX_POLL_MS = 50_000
const bot = { id: 1, is_bot: true, first_name: 'Stub', username: 'stub_bot', can_join_groups: true }
const user = { id: 4242, is_bot: false, first_name: 'Ada', username: 'ada' }
const chat = { id: user.id, type: 'private', first_name: user.first_name, username: user.username }

const updates: Array<{ update_id: number; message: object }> = []
let news = Promise.withResolvers<void>()
let messageId = 0

const message = (from: object, text: string) => ({
  message_id: ++messageId,
  date: Math.floor(Date.now() / 1000),
  from,
  chat,
  text,
})

const methods: Record<string, (parameters: Record<string, unknown>) => unknown> = {
  getMe: () => bot,
  async getUpdates({ offset = 0, timeout = 0 }) {
    const fresh = () => updates.filter(({ update_id }) => update_id >= Number(offset))
    const waitMs = Math.min(Number(timeout) * 1000, MAX_POLL_MS)
    if (fresh().length === 0)
      await Promise.race([news.promise, new Promise((resolve) => setTimeout(resolve, waitMs))])
    return fresh()
  },
  getWebhookInfo: () => ({ url: '', has_custom_certificate: false, pending_update_count: 0 }),
  getMyCommands: () => [],
  sendMessage: ({ text }) => message(bot, String(text)),
  editMessageText: ({ text }) => message(bot, String(text)),
}
/** Methods whose answer only says that they succeeded. */
const commands = /^(set|delete|answer|pin|unpin)\w+$|^(sendChatAction|close|logOut)$/

const server = createServer(async (request, response) => {
  const send = (status: number, body: object) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  const url = new URL(request.url!, 'http://bot')
  const text = await textOf(request)
  if (url.pathname === '/say') {
    updates.push({ update_id: updates.length + 1, message: message(user, text) })
    news.resolve()
    news = Promise.withResolvers()
    return send(200, {})
  }
  const [, token, method = ''] = /^\/bot([^/]+)\/(\w+)$/.exec(url.pathname) ?? []
  if (token !== values.token) return send(401, { ok: false, error_code: 401, description: 'Unauthorized' })
  const parameters = { ...Object.fromEntries(url.searchParams), ...parametersOf(request, text) }
  appendFileSync(values.record!, `${JSON.stringify({ method, parameters })}\n`)
  const answer = methods[method] ?? (commands.test(method) ? () => true : undefined)
  if (!answer) return send(404, { ok: false, error_code: 404, description: `Not Found: ${method}` })
  send(200, { ok: true, result: await answer(parameters) })
})
server.listen(Number(values.port), '127.0.0.1', () => process.stdout.write('listening\n'))

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

function parametersOf({ headers }: IncomingMessage, text: string): Record<string, unknown> {
  if (!text) return {}
  return headers['content-type']?.includes('json')
    ? (JSON.parse(text) as Record<string, unknown>)
    : Object.fromEntries(new URLSearchParams(text))
}
