import type { Responder } from './recording-api.ts'

const ENTRY = { timestamp: '2026-01-01T00:00:00Z', message: '\u001b[31mline', level: 'info', step: '1' }

/** A stub of the template part of the API (wire spec, sections 2.4 and 5) on which every build succeeds. */
export const templateApi: Responder = ({ method, target, body }, url) => {
  const [path] = target.split('?')
  const route = `${method} ${path!.replace(/\/(tid|bid|[0-9a-f]{64})(?=\/|$)/g, '/*')}`
  const answers: Record<string, () => ReturnType<Responder>> = {
    'POST /v3/templates': () => ({
      status: 202,
      json: {
        templateID: 'tid',
        buildID: 'bid',
        public: false,
        names: ['team/n'],
        tags: ['default'],
        aliases: ['n'],
      },
    }),
    'GET /templates/*/files/*': () => ({
      status: 201,
      json: { present: false, url: `${url}/upload`, headers: { 'x-upload': 'token' } },
    }),
    'PUT /upload': () => ({ status: 200 }),
    'POST /v2/templates/*/builds/*': () => ({ status: 202 }),
    'GET /templates/*/builds/*/status': () => ({
      status: 200,
      json: {
        templateID: 'tid',
        buildID: 'bid',
        status: 'ready',
        logs: [],
        logEntries: target.endsWith('logsOffset=0') ? [ENTRY, ENTRY] : [],
      },
    }),
    'POST /templates/tags': () => ({
      status: 201,
      json: { tags: (body as { tags: string[] }).tags, buildID: 'bid' },
    }),
    'DELETE /templates/tags': () => ({ status: 204 }),
    'GET /templates/team%2Fn%3Av1/tags': () => ({
      status: 200,
      json: [{ tag: 'v1', buildID: 'bid', createdAt: '2026-01-01T00:00:00Z' }],
    }),
    'GET /templates/aliases/team%2Fn%3Av1': () => ({
      status: 200,
      json: { templateID: 'tid', public: true },
    }),
    'GET /templates/aliases/foreign': () => ({ status: 403, json: { code: 403, message: 'not yours' } }),
  }
  return answers[route]?.()
}
