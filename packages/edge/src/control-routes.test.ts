import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { isControlRoute } from './control-routes.ts'

it.each([
  '/init',
  '/freeze',
  '/unfreeze',
  '/collapse',
  '/fsfreeze',
  '/fsthaw',
  '/upgrade',
  '/forward',
  '/trust',
  '/volumes',
  '/volumes/stale',
  '/tun',
  '/bridges',
  '/volumes/%73tale',
  '/volumes/x/../stale',
  '//init',
  '/./init',
  '/x/../init',
  '/%69nit',
  '/%2569nit',
  '/INIT',
  '/init/',
  '/init//',
  '/init?x',
  '/init;a=b',
  '/\\init',
  '/%2finit',
  '/..%2finit',
  '/init%20',
  '/init%00',
  '/%252525252569nit',
])('%s is a control route', (path) => expect(isControlRoute(path)).toBe(true))

it.each([
  '/',
  '/health',
  '/files?path=/init',
  '/initial',
  '/process.Process/Start',
  '/init/x',
  '/files/compose',
  '/%zz',
  '*',
])('%s is not', (path) => expect(isControlRoute(path)).toBe(false))

it('every route that envd serves to its host alone is a control route', () => {
  const handler = readFileSync(
    new URL('../../../guest/envd/internal/serve/handler.go', import.meta.url),
    'utf8',
  )
  const routes = [...handler.matchAll(/"[A-Z]+ (\S+)", host\.Only\(/g)].map(([, path]) => path!)
  expect(routes).toContain('/init')
  expect(routes.filter((path) => !isControlRoute(path))).toEqual([])
})
