import { expect, test } from 'vitest'
import { parseExecute } from './request-body.ts'

test('the values that the Python SDK sends for unset fields count as missing', () => {
  const sent = { code: '1', context_id: null, language: null, env_vars: null }
  expect(parseExecute(sent)).toEqual({ code: '1', contextId: undefined, language: undefined, envVars: {} })
})

test.each([
  [{}, 'code is missing; it must be a string'],
  [{ code: 1 }, 'code is 1; it must be a string'],
  [{ code: '', language: ['python'] }, 'language is ["python"]; it must be a string'],
  [{ code: '', language: 'r', context_id: 'x' }, 'context_id and language exclude each other'],
  [{ code: '', env_vars: ['A'] }, 'env_vars is ["A"]; it must be an object of strings'],
  [{ code: '', env_vars: { A: 1 } }, 'env_vars.A is 1; it must be text without NUL'],
  [{ code: '', env_vars: { 'A=B': '' } }, 'a name in env_vars is "A=B"; it must be text without = and NUL'],
])('%j is refused: %s', (body, message) => {
  expect(() => parseExecute(body)).toThrow(message)
})
