import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'

/** Every write to /dev/full fails with ENOSPC, as on a full disk. */
test('a log that cannot be written does not end the server', () => {
  const script = `
    import { createLogger } from '${import.meta.dirname}/logger.ts'
    const logger = createLogger('info')
    for (let i = 0; i < 50; i++) logger.info('x'.repeat(1000))
    setTimeout(() => process.stderr.write('lives on'), 100)`
  const command = 'exec "$0" --input-type=module -e "$1" > /dev/full'
  const { status, stderr } = spawnSync('sh', ['-c', command, process.execPath, script], {
    encoding: 'utf8',
    timeout: 15_000,
  })
  expect(stderr).toContain('lives on')
  expect(status).toBe(0)
})
