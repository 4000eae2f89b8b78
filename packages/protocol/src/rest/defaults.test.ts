import Value from 'typebox/value'
import { expect, test } from 'vitest'
import { ConnectSandbox, ConnectSandboxV2, NewSandbox, NewSandboxV2 } from './index.ts'

test('the two creates have different default timeouts, and only one of the two connects requires a timeout', () => {
  expect(Value.Default(NewSandbox, { templateID: 'base' })).toMatchObject({ timeout: 15 })
  expect(Value.Default(NewSandboxV2, { templateID: 'base' })).toMatchObject({ timeout: 300 })
  expect(Value.Check(ConnectSandbox, Value.Default(ConnectSandbox, {}))).toBe(false)
  expect(Value.Default(ConnectSandboxV2, {})).toMatchObject({ timeout: 300 })
})

test('a field with a default is not required in the document', () => {
  expect([NewSandbox.required, NewSandboxV2.required, ConnectSandbox.required]).toEqual([
    ['templateID'],
    ['templateID'],
    ['timeout'],
  ])
})
