import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadConfig } from '../config.ts'
import { examine } from './examine.ts'
import { port } from './network-and-disk-checks.ts'

test('every check returns a result on any machine, and each failure says what to do', async () => {
  const home = mkdtempSync(join(tmpdir(), 'sandlot-doctor-'))
  const findings = await examine(loadConfig({ flags: { home, listen: '34567' }, env: {} }))
  rmSync(home, { recursive: true })
  expect(findings.map((finding) => finding.name)).toContain('cgroups')
  for (const finding of findings) {
    expect(finding.detail).not.toBe('')
    if (finding.status !== 'ok') expect(`${finding.name}: ${finding.mend ?? finding.detail}`).toMatch(/\S{3}/)
  }
})

test('a port that another process listens on fails with the name of that process', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port: taken } = server.address() as { port: number }
  const verdict = await port(
    loadConfig({ flags: { home: '/nonexistent/home', listen: String(taken) }, env: {} }),
  )
  server.close()
  expect(verdict.status).toBe('failed')
  expect(verdict.detail).toContain(`pid ${process.pid}`)
})
