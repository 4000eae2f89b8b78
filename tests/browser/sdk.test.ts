import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Browser } from 'playwright-core'
import { rolldown } from 'rolldown'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { sandboxUrlOf } from '../server.ts'
import { launchChromium } from './chromium.ts'
import type { Report } from './page.ts'

const { env } = inject('server')
const PAGE = fileURLToPath(new URL('page.ts', import.meta.url))

const ways = {
  'by E2B_SANDBOX_URL': {
    apiUrl: env.E2B_API_URL,
    sandboxUrl: sandboxUrlOf(env.E2B_DOMAIN),
    domain: env.E2B_DOMAIN,
  },
  'by host over TLS': { domain: env.E2B_DOMAIN },
}

/** The page bundled for browsers into one module; also what that module still imports, and which files it contains. */
async function bundlePage(): Promise<{ code: string; imports: string[]; modules: string[] }> {
  const bundle = await rolldown({ input: PAGE, platform: 'browser', logLevel: 'warn' })
  const { output } = await bundle.generate({ format: 'esm', codeSplitting: false })
  await bundle.close()
  const { code, fileName, imports, dynamicImports, modules } = output[0]
  // a dynamic import that the bundler inlined names the module itself
  const others = [...imports, ...dynamicImports].filter((name) => name !== fileName)
  return { code, imports: others, modules: Object.keys(modules) }
}

describe('a page in Chromium that uses the SDK', () => {
  let bundle: Awaited<ReturnType<typeof bundlePage>>
  let server: Server
  let browser: Browser
  let url: string

  beforeAll(async () => {
    bundle = await bundlePage()
    server = createServer((request, response) => {
      if (request.url === '/page.js')
        return void response.writeHead(200, { 'content-type': 'text/javascript' }).end(bundle.code)
      response
        .writeHead(200, { 'content-type': 'text/html; charset=utf-8' })
        .end('<!doctype html><body><script type="module" src="/page.js"></script>')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
    browser = await launchChromium()
  }, 60_000)
  afterAll(async () => {
    await browser?.close()
    server?.close()
  })

  test('needs no module of Node', () => {
    expect(bundle.imports).toEqual([])
    expect(bundle.modules.filter((path) => path.includes('/undici/lib/'))).toEqual([])
  })

  test.each(Object.entries(ways))('creates a sandbox and streams output, %s', async (_way, where) => {
    const page = await browser.newPage()
    const problems: string[] = []
    page.on('pageerror', (error) => problems.push(String(error)))
    await page.goto(url)
    const opts = { ...where, apiKey: env.E2B_API_KEY, timeoutMs: 60_000 }
    const report = await page.evaluate(
      (given) => (globalThis as unknown as { visit(opts: unknown): Promise<Report> }).visit(given),
      opts,
    )
    expect(report.stdout).toBe('piece 1\npiece 2\npiece 3\n')
    expect(report.pieces.map(({ text }) => text).join('')).toBe(report.stdout)
    expect(report.pieces.length).toBe(3)
    expect(report.pieces[0]!.atMs).toBeLessThan(report.endedAtMs - 700)
    expect(report.fileText).toBe('grüße aus dem browser')
    expect(report.streamedBytes).toBe(300_000)
    expect(report.written).toBe('/home/user/stream.bin')
    expect(report).toMatchObject({ missing: true, listed: true, isRunning: [true, false] })
    expect(await page.textContent('body')).toContain('piece 3')
    expect(problems).toEqual([])
    await page.close()
  })
})
