import { execFileSync } from 'node:child_process'
import { test } from 'vitest'
import { SYSTEMCTL, startEnabledServices } from './systemctl.ts'

test('the scripts run in any POSIX shell', () => {
  for (const script of [SYSTEMCTL, startEnabledServices([]), startEnabledServices(['ssh'])])
    execFileSync('sh', ['-n', '-c', script])
})
