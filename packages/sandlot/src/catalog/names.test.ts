import { expect, test } from 'vitest'
import { catalogNames } from '../../../../templates/names.ts'
import { CatalogEstimates } from './estimates.ts'
import { catalogOf } from './names.ts'

test('the setting selects some templates of the catalog, all or none', () => {
  expect(catalogOf(['none'])).toEqual([])
  expect(catalogOf(['codex', 'claude'])).toEqual(['codex', 'claude'])
  for (const name of catalogOf(['all'])) expect(catalogNames).toContain(name)
})

test('every template has a recorded estimate of its build', () => {
  const estimates = new CatalogEstimates('/nowhere')
  for (const name of catalogNames) {
    const { seconds = 0, megabytes = 0 } = estimates.of(name) ?? {}
    expect([name, seconds > 10, megabytes > 100]).toEqual([name, true, true])
  }
})

test('an unknown name is refused with the nearest known one', () => {
  expect(() => catalogOf(['claud'])).toThrow(
    "names 'claud', which the catalogue does not have: did you mean 'claude'?",
  )
  expect(() => catalogOf(['something-else'])).toThrow('code-interpreter-v1')
})
