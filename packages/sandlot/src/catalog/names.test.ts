import { expect, test } from 'vitest'
import { catalogNames } from '../../../../templates/names.ts'
import { catalogOf } from './names.ts'

test('the setting means some of the catalogue, all of it or nothing', () => {
  expect(catalogOf(['none'])).toEqual([])
  expect(catalogOf(['codex', 'claude'])).toEqual(['codex', 'claude'])
  for (const name of catalogOf(['all'])) expect(catalogNames).toContain(name)
})

test('a name that the catalogue does not have is refused with the nearest', () => {
  expect(() => catalogOf(['claud'])).toThrow(
    "names 'claud', which the catalogue does not have: did you mean 'claude'?",
  )
  expect(() => catalogOf(['something-else'])).toThrow('code-interpreter-v1')
})
