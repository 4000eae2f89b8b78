import { expect, test } from 'vitest'
import { readCgroupLayout } from './machine-checks.ts'

const none = () => []

test('cgroups v1 are recognised by their mounts', () => {
  const mounts =
    'cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu,cpuacct 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0'
  expect(readCgroupLayout(mounts, none)).toEqual({ mode: 'v1', controllers: ['cpu', 'cpuacct', 'memory'] })
})

test('cgroups v2 are recognised by their controllers, and can always freeze', () => {
  const layout = readCgroupLayout('cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0', () => [
    'cpu',
    'memory',
    'pids',
  ])
  expect(layout).toEqual({ mode: 'v2', controllers: ['cpu', 'freezer', 'memory', 'pids'] })
})

test('beside v2, a systemd hierarchy of v1 does not make the layout hybrid, but a controller of v1 does', () => {
  const unified = 'cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n'
  expect(readCgroupLayout(`${unified}cgroup /s cgroup rw,name=systemd 0 0`, none).mode).toBe('v2')
  expect(readCgroupLayout(`${unified}cgroup /c cgroup rw,pids 0 0`, none).mode).toBe('hybrid')
})

test('a machine without cgroups is recognised', () => {
  expect(readCgroupLayout('proc /proc proc rw 0 0', none).mode).toBe('none')
})
