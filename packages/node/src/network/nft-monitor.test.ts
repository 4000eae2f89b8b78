import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { run } from '../host/run.ts'
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

test('lost events are reported, also when the next change that is seen is an own one', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'sandlot-monitor-'))
  const lines = ['# ERROR: We lost some netlink events!', '# new generation 7 by process 1 (nft)']
  const script = `#!/bin/sh\n${lines.map((line) => `echo '${line}'\n`).join('')}exec sleep 60\n`
  writeFileSync(join(dir, 'nft'), script, { mode: 0o755 })
  vi.stubEnv('PATH', `${dir}:${process.env.PATH}`)
  const onChange = vi.fn()
  const monitor = new NftMonitor({ table: 'none', isOwn: () => true, onChange, onError: () => {} })
  try {
    monitor.start()
    await expect.poll(() => onChange.mock.calls).toEqual([[false]])
  } finally {
    monitor.close()
    vi.unstubAllEnvs()
    rmSync(dir, { recursive: true })
  }
})

const table = `sandlot_monitor_${process.pid}`
let monitor: NftMonitor | undefined
afterEach(async () => {
  monitor?.close()
  await run('nft', ['-f', '-'], { input: `table inet ${table} {}\ndelete table inet ${table}\n` })
})

test('changes of others are reported, and whether they changed ranges of policies; own changes are not', async () => {
  const own = new Set<number>()
  const changes: boolean[] = []
  const set = (name: string) => `set ${name} { type ifname . ipv4_addr; }`
  await run('nft', ['-f', '-'], { input: `table inet ${table} { ${set('open')}; ${set('deny_hosts')}; }\n` })
  let count = 0
  const add = (name: string, onPid?: (pid: number) => void) =>
    run('nft', ['add', 'element', 'inet', table, name, `{ "x${count++}" . 11.0.0.0 }`], { onPid })
  monitor = new NftMonitor({
    table,
    isOwn: (pid) => own.has(pid),
    onChange: (isTouched) => changes.push(isTouched),
    onError: () => {},
  })
  monitor.start()
  // the monitor reports nothing before it listens, and everything from then on
  await monitor.untilListening()
  await add('open')
  await expect.poll(() => changes).toEqual([false])
  changes.length = 0
  for (const name of ['open', 'deny_hosts']) await add(name, (pid) => own.add(pid))
  await add('deny_hosts')
  await expect.poll(() => changes.filter(Boolean)).toHaveLength(1)
})
