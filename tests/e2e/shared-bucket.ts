import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createS3Server, type S3Server } from '@sandlot/node/test-support/versitygw'
import type { Sandbox } from 'e2b-official'

export const FILE = '/home/user/kept.txt'
/** A program that prints the number it holds in memory for each line that it reads. */
export const HOLDER = `python3 -u -c "import random,sys; n=random.random(); [print(n) for _ in sys.stdin]"`
/** Packing and the first upload of the image share two cores with everything else. */
export const IN_BUCKET = { timeout: 180_000, interval: 500 }

/** A bucket of a real S3 server that several servers under test share. */
export interface SharedBucket {
  s3: S3Server
  /** A folder for the test's own files. */
  dir: string
  /** Credentials and the checkpoint secret, for `sandlot up` and `sandlot adopt`. */
  env: Record<string, string>
  /** Flags that name the bucket. */
  flags: string[]
  close: () => Promise<void>
}

export async function openSharedBucket(name: string): Promise<SharedBucket> {
  const dir = await mkdtemp(join(tmpdir(), `sandlot-${name}-`))
  const s3 = await createS3Server(dir)
  await s3.start()
  const { bucket, endpoint, credentials } = s3.options
  return {
    s3,
    dir,
    env: {
      AWS_ACCESS_KEY_ID: credentials!.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials!.secretAccessKey,
      SANDLOT_CHECKPOINT_SECRET: randomBytes(32).toString('hex'),
    },
    flags: ['--checkpoint-bucket', bucket, '--checkpoint-endpoint', endpoint!],
    async close() {
      await s3.kill()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

/** Asks the {@link HOLDER} with that pid for its number. */
export async function askHolder(sandbox: Sandbox, pid: number): Promise<string> {
  const answer = Promise.withResolvers<string>()
  const holder = await sandbox.commands.connect(pid, { onStdout: answer.resolve, timeoutMs: 0 })
  await sandbox.commands.sendStdin(pid, '\n')
  try {
    return (await answer.promise).trim()
  } finally {
    await holder.disconnect()
  }
}
