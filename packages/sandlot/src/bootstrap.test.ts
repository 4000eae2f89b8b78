import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { repositoryRoot } from './config.ts'

async function bootstrap(args: string[], env: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, [join(repositoryRoot, 'bootstrap.mjs'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => void (output += text))
  const [code] = await once(child, 'close')
  return { code, output }
}

test('arguments reach sandlot, and its exit code is passed on', async () => {
  const { code, output } = await bootstrap(['status', '--home', '/nonexistent/home'])
  expect(output).toContain('No server runs on /nonexistent/home')
  expect(code).toBe(1)
})

test('a wrong setting is one line without a stack', async () => {
  const { code, output } = await bootstrap(['config', '--pool-max', 'lots'])
  expect(output.trim().split('\n').at(-1)).toBe(
    'sandlot: setting poolMax is "lots" (from --pool-max); it must be a whole number from 0 to 1000',
  )
  expect(output).not.toContain('    at ')
  expect(code).toBe(1)
})

test('DEBUG shows where an error came from', async () => {
  const { output } = await bootstrap(['config', '--pool-max', 'lots'], { DEBUG: '1' })
  expect(output).toContain('    at ')
})
