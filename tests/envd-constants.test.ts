import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ENVD_PORT, ENVD_VERSION } from '@sandlot/protocol'
import { expect, test } from 'vitest'
import { ConnectionConfig } from '../packages/sdk/src/connection-config.ts'

const sourceOf = (path: string) => readFileSync(join(import.meta.dirname, '..', path), 'utf8')

test('envd listens on the port, and reports the version, that server and SDK expect', () => {
  const envd = sourceOf('guest/envd/main.go')
  expect(/const version = "([^"]+)"/.exec(envd)?.[1]).toBe(ENVD_VERSION)
  expect(/flag\.String\("listen", ":(\d+)"/.exec(envd)?.[1]).toBe(String(ENVD_PORT))
  expect(/address\s+= ":(\d+)"/.exec(sourceOf('guest/imager/main.go'))?.[1]).toBe(String(ENVD_PORT))
  // the SDK is published without the packages of the server
  expect(ConnectionConfig.envdPort).toBe(ENVD_PORT)
})
