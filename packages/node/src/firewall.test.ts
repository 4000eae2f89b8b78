import { expect, test } from 'vitest'
import { BLOCKED_RANGES, firewallRules } from './firewall.ts'
import { namesFor } from './names.ts'
import { run } from './run.ts'

const options = { names: namesFor('/tmp/firewall-test'), range: '10.190.0.0/16', dns: '9.9.9.9' }

test('nft accepts the rules', async () => {
  await run('nft', ['-c', '-f', '-'], { input: firewallRules(options) })
  await run('nft', ['-c', '-f', '-'], {
    input: firewallRules({ ...options, allowedRanges: ['10.1.0.0/16'] }),
  })
})

test('private, link-local and metadata ranges are dropped before anything is accepted for the outside', () => {
  const rules = firewallRules(options)
  expect(BLOCKED_RANGES).toContain('169.254.0.0/16')
  expect(rules).toContain(`ip daddr { ${BLOCKED_RANGES.join(', ')} } drop\n    accept`)
})

test('two homes have different names everywhere', () => {
  const a = namesFor('/a')
  const b = namesFor('/b')
  for (const key of Object.keys(a) as Array<keyof typeof a>) expect(a[key]).not.toBe(b[key])
  expect(`${a.vethPrefix}9999`.length).toBeLessThanOrEqual(15)
})
