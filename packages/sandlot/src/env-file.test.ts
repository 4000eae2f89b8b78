import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { envFilePath, readEnvFile, writeEnvFile } from './env-file.ts'

let home: string
beforeEach(() => void (home = mkdtempSync(join(tmpdir(), "sandlot env '"))))
afterEach(() => rmSync(home, { recursive: true }))

const environment = () => ({
  apiKey: `e2b_${'a'.repeat(40)}`,
  port: 3000,
  domain: 'sandlot.localhost:3000',
  caBundle: join(home, 'ca', 'ca-bundle.pem'),
})

test('a shell that sources the file gets every variable, also with odd paths', () => {
  writeEnvFile(home, environment())
  const output = execFileSync('sh', [
    '-c',
    '. "$1"; printf "%s\\n" "$E2B_API_KEY" "$E2B_API_URL" "$SSL_CERT_FILE"',
    'sh',
    envFilePath(home),
  ])
  expect(output.toString().split('\n').slice(0, 3)).toEqual([
    environment().apiKey,
    'http://localhost:3000',
    environment().caBundle,
  ])
})

test('the file is read as it was written', () => {
  const written = writeEnvFile(home, environment())
  expect(readEnvFile(home)).toEqual(written)
  expect(readEnvFile(join(home, 'nowhere'))).toBeUndefined()
})

test('without a listener for sandboxes these are reached by host name, and an older variable of the shell is unset', () => {
  writeEnvFile(home, environment())
  const show = 'E2B_SANDBOX_URL=http://localhost:3000; . "$1"; printenv E2B_SANDBOX_URL || echo none'
  const shown = () =>
    execFileSync('sh', ['-c', show, 'sh', envFilePath(home)])
      .toString()
      .trim()
  expect(shown()).toBe('none')
  writeEnvFile(home, { ...environment(), sandboxPort: 3001 })
  expect(shown()).toBe('http://localhost:3001')
})

test('only the owner can read the file', () => {
  writeEnvFile(home, environment())
  expect(statSync(envFilePath(home)).mode & 0o777).toBe(0o600)
})
