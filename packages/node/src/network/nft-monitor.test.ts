import { readdirSync, readFileSync } from 'node:fs'
import { expect, test, vi } from 'vitest'
import { NftMonitor } from './nft-monitor.ts'

/** Process groups of the monitors that this process has started. */
const groupsOfMonitors = (): number[] =>
  readdirSync('/proc').flatMap((name) => {
    try {
      const [, command, rest] = /^\d+ \((.*)\) (.*)$/s.exec(readFileSync(`/proc/${name}/stat`, 'utf8'))!
      const [, parent, group] = rest!.split(' ').map(Number)
      return command === 'nft' && parent === process.pid ? [group!] : []
    } catch {
      return []
    }
  })

test('Ctrl-C in a terminal, which reaches the whole process group, does not end the monitor', async () => {
  const onError = vi.fn()
  const monitor = new NftMonitor({ table: 'none', isOwn: () => false, onChange: () => {}, onError })
  monitor.start()
  await expect.poll(groupsOfMonitors).toHaveLength(1)
  const own = Number(
    readFileSync('/proc/self/stat', 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')[2],
  )
  expect(groupsOfMonitors()).not.toContain(own)
  monitor.close()
  expect(onError).not.toHaveBeenCalled()
})
