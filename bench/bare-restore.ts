import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { openBareEngine, serversGuestDir } from './bare-engine.ts'

/**
 * Measures the engine alone: `runsc restore` of the server's checkpoint with the server's flags until envd answers, in
 * namespaces that were created in advance.
 */
export async function bareRestoresPerSecond(
  checkpointDir: string,
  count: number,
  concurrency: number,
): Promise<number> {
  const manifest = JSON.parse(readFileSync(join(checkpointDir, 'manifest.json'), 'utf8'))
  const source = { ...manifest, guestDir: serversGuestDir() }
  const engine = await openBareEngine(count)
  try {
    let next = 0
    const started = performance.now()
    await Promise.all(
      Array.from({ length: concurrency }, async () => {
        while (next < count) await engine.restore(next++, source, checkpointDir)
      }),
    )
    return (count / (performance.now() - started)) * 1000
  } finally {
    await engine.close()
  }
}
