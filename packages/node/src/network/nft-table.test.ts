import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { run } from '../host/run.ts'
import { NftTable } from './nft-table.ts'
import { changeCommands } from './policy-elements.ts'

const name = `sandlot_table_${process.pid}`
const programs = mkdtempSync(join(tmpdir(), 'sandlot-nft-table-'))
const errors: unknown[] = []
const table = new NftTable(name, (error) => errors.push(error))
afterEach(async () => {
  vi.unstubAllEnvs()
  table.dispose()
  await table.remove()
  rmSync(programs, { recursive: true })
})

/**
 * Lets `nft -i` carry out its first line and end without an answer, as one does that is killed because it is late, and lets
 * `nft -t -i` end at once.
 */
async function breakSessions(): Promise<void> {
  const real = (await run('which', ['nft'])).stdout.trim()
  const script = `#!/bin/sh\nif [ "$1" = -i ]; then head -n 1 | ${real} -f -; exit 1; fi\n[ "$2" = -i ] && exit 1\nexec ${real} "$@"\n`
  writeFileSync(join(programs, 'nft'), script)
  chmodSync(join(programs, 'nft'), 0o755)
  vi.stubEnv('PATH', `${programs}:${process.env.PATH}`)
}

test('a change that nft carries out and does not answer is repeated, and is no failure', async () => {
  const elements = (address: string) => new Map([['open', new Set([`"s0" . ${address}`])]])
  await table.replace(
    `table inet ${name} {
  set open { type ifname . ipv4_addr; elements = { "s0" . 192.0.2.1 }; }
  set ranged { type ifname . ipv4_addr; }
  set ranged_without_dns { type ifname . ipv4_addr; }
  set host_networks { type ipv4_addr; flags interval; auto-merge; }
}
`,
  )
  const before = new NftTable(name, () => {})
  const { rules } = await before.content()
  before.dispose()
  await breakSessions()
  await table.change(changeCommands(name, elements('192.0.2.1'), elements('192.0.2.2')))
  expect(errors).toHaveLength(1)
  // what the table contains is read all the same
  expect((await table.content()).elements.get('open')).toEqual(elements('192.0.2.2').get('open'))
  await table.change(changeCommands(name, elements('192.0.2.2'), new Map()))
  const content = await table.content()
  expect(content.elements.get('open')).toEqual(new Set())
  expect(content.rules).toBe(rules)
})
