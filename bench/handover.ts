// Time that `checkpointSecret` adds to a resume: it starts two servers, one with a bucket and the secret, one without.
// See README.md.
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { S3Store } from '@sandlot/node/objects/s3-store'
import { createS3Server } from '@sandlot/node/test-support/versitygw'
import { Sandbox } from 'e2b-official'
import { connectionTo, startServer, type TestServer } from '../tests/server.ts'
import { pause, report, round, summarize, timed } from './stats.ts'

const count = Number(process.argv[process.argv.indexOf('--n') + 1]) || 10
const COLD_MS = 4_000
const IN_BUCKET_MS = 60_000
const pools = ['--pool-min', '1', '--pool-max', '1', '--hot-pause-seconds', '2']

const dir = await mkdtemp(join(tmpdir(), 'sandlot-bench-'))
const s3 = await createS3Server(dir)
await s3.start()
const { bucket, endpoint, credentials } = s3.options
const store = new S3Store(s3.options)
const servers: TestServer[] = []

async function untilInBucket(sandboxId: string): Promise<void> {
  const key = `sandboxes/${sandboxId}.json.enc`
  for (const started = performance.now(); !(await store.head(key)); await pause(100))
    if (performance.now() - started > IN_BUCKET_MS) throw new Error(`${key} did not arrive in the bucket`)
}

/** @param isHot resume while the machine is still frozen in memory */
async function resume(server: TestServer, isShared: boolean, isHot: boolean): Promise<number[]> {
  const sandbox = await Sandbox.create({ ...connectionTo(server.info()), timeoutMs: 900_000 })
  const times: number[] = []
  for (let i = 0; i <= count; i++) {
    await sandbox.pause()
    if (!isHot) await pause(COLD_MS)
    if (isShared && !isHot) await untilInBucket(sandbox.sandboxId)
    const [, ms] = await timed(() => sandbox.connect())
    if (i > 0) times.push(ms)
  }
  await sandbox.kill()
  return times
}

try {
  const options = { networkRange: '10.221.0.0/16', port: 13_221, name: 'bench-plain', flags: pools }
  servers.push(await startServer(options))
  servers.push(
    await startServer({
      networkRange: '10.222.0.0/16',
      port: 13_222,
      name: 'bench-shared',
      flags: [...pools, '--checkpoint-bucket', bucket, '--checkpoint-endpoint', endpoint!],
      env: {
        AWS_ACCESS_KEY_ID: credentials!.accessKeyId,
        AWS_SECRET_ACCESS_KEY: credentials!.secretAccessKey,
        SANDLOT_CHECKPOINT_SECRET: randomBytes(32).toString('hex'),
      },
    }),
  )
  const results: Record<string, unknown> = {}
  for (const [what, isHot] of [
    ['hot', true],
    ['cold', false],
  ] as const) {
    const plain = summarize(await resume(servers[0]!, false, isHot))
    const shared = summarize(await resume(servers[1]!, true, isHot))
    results[`resume ${what} ms`] = plain
    results[`resume ${what} with the secret ms`] = shared
    results[`${what}: added by the secret, p50 ms`] = round(shared.p50 - plain.p50)
  }
  report('handover', results)
} finally {
  for (const server of servers) await server.purge()
  store.close()
  await s3.kill()
  await rm(dir, { recursive: true, force: true })
}
process.exit(0)
