import { pipeline, Readable, Transform } from 'node:stream'
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3'
import { SandlotError } from '@sandlot/protocol'
import {
  checkKey,
  checkPrefix,
  MAX_OBJECT_BYTES,
  type ObjectStore,
  type StoredObject,
} from './object-store.ts'
import type { TaggedObject, TaggedStore } from './tagged-store.ts'

const MAX_SOCKETS = 32
const CONNECTION_TIMEOUT_MS = 5_000
/** Without a byte on the connection. */
const IDLE_TIMEOUT_MS = 20_000
/** For one call with all its attempts. */
const CALL_TIMEOUT_MS = 120_000
const MAX_ATTEMPTS = 3
const RETRY_AFTER_SECONDS = 10
/** Of answers other than objects: a page of a list has 1000 keys of at most 1 KiB. */
const MAX_ANSWER_BYTES = 4 * 2 ** 20
/** A service that never ends a list is not read for ever. */
const MAX_PAGES = 100_000

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/

export interface S3StoreOptions {
  bucket: string
  /** URL of the service, e.g. `https://minio.example.com`. Default: Amazon's for the region. */
  endpoint?: string
  /** Default `us-east-1`, which is what most services other than Amazon's expect. */
  region?: string
  /** Folder inside of the bucket, e.g. `sandlot/production`. Default: the bucket's root. */
  prefix?: string
  /** Default: where the AWS SDK looks (environment, shared files, instance role). */
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string }
  /** `<endpoint>/<bucket>/<key>` instead of `<bucket>.<endpoint>/<key>`. Default: true when there is an `endpoint`. */
  forcePathStyle?: boolean
}

/**
 * Objects in a bucket of Amazon S3 or of a service that speaks its API. Each request is tried up to three times; checksums are sent
 * with what is put and checked on what is got, where the service keeps them.
 *
 * @throws SandlotError invalid_request when a setting is not valid; the service is not asked yet
 * @example
 * const remote = createS3Store({ bucket: 'sandboxes', endpoint: 'http://127.0.0.1:7070', credentials })
 */
export function createS3Store(options: S3StoreOptions): ObjectStore & TaggedStore {
  const { bucket, endpoint, region = 'us-east-1', credentials } = options
  const prefix = checkedPrefix(options)
  const name = `bucket '${bucket}'${endpoint ? ` at ${endpoint}` : ''}`
  const closing = new AbortController()
  const client = new S3Client({
    endpoint,
    region,
    credentials,
    forcePathStyle: options.forcePathStyle ?? endpoint !== undefined,
    maxAttempts: MAX_ATTEMPTS,
    requestHandler: {
      connectionTimeout: CONNECTION_TIMEOUT_MS,
      requestTimeout: IDLE_TIMEOUT_MS,
      socketTimeout: IDLE_TIMEOUT_MS,
      throwOnRequestTimeout: true,
      httpAgent: { maxSockets: MAX_SOCKETS },
      httpsAgent: { maxSockets: MAX_SOCKETS },
    },
  })

  client.middlewareStack.add(
    (next, { commandName }) =>
      async (args) => {
        const result = await next(args)
        const response = result.response as { body?: unknown }
        if (commandName !== 'GetObjectCommand' && response.body instanceof Readable)
          response.body = bounded(response.body)
        return result
      },
    { step: 'deserialize', priority: 'low', name: 'boundedAnswers' },
  )

  const place = (key: string) => {
    checkKey(key)
    return { Bucket: bucket, Key: prefix + key }
  }

  /** One call with a time limit that also covers the body; everything that fails gets a name. */
  async function call<T>(doing: string, work: (abortSignal: AbortSignal) => Promise<T>): Promise<T> {
    const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(CALL_TIMEOUT_MS)])
    const aborted = Promise.withResolvers<never>()
    const onAbort = () => aborted.reject(signal.reason)
    signal.addEventListener('abort', onAbort)
    try {
      signal.throwIfAborted()
      return await Promise.race([work(signal), aborted.promise])
    } catch (error) {
      if (error instanceof SandlotError) throw error
      if (closing.signal.aborted) throw new SandlotError('server_draining', `${doing} ${name}: it was closed`)
      throw new SandlotError('checkpoint_store_unavailable', `${doing} ${name}: ${describe(error)}`, {
        cause: error,
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      })
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  const head = (key: string): Promise<StoredObject | undefined> =>
    call(`looking for ${key} in`, async (abortSignal) => {
      try {
        const found = await client.send(new HeadObjectCommand(place(key)), { abortSignal })
        return { key, sizeBytes: found.ContentLength ?? 0, modifiedAtMs: found.LastModified?.getTime() ?? 0 }
      } catch (error) {
        if (isNotFound(error)) return undefined
        throw error
      }
    })

  async function getOnce(
    key: string,
    maxBytes: number,
    abortSignal: AbortSignal,
  ): Promise<TaggedObject | undefined> {
    const found = await client.send(new GetObjectCommand(place(key)), { abortSignal }).catch((error) => {
      if (isNotFound(error)) return undefined
      throw error
    })
    if (!found?.Body) return undefined
    const { ContentLength: length = 0 } = found
    const body = found.Body as Readable
    if (length > maxBytes) {
      body.destroy()
      throw new SandlotError(
        'checkpoint_damaged',
        `${key} in ${name} has ${length} bytes; none of ours has more than ${maxBytes}`,
      )
    }
    const content = await readWhole(body, length)
    return { content, tag: found.ETag ?? '' }
  }

  const getTagged = (key: string, maxBytes = MAX_OBJECT_BYTES): Promise<TaggedObject | undefined> =>
    call(`getting ${key} from`, async (abortSignal) => {
      // the SDK tries again until the headers are there, not when the body breaks off
      for (let attempt = 1; ; attempt++)
        try {
          return await getOnce(key, maxBytes, abortSignal)
        } catch (error) {
          const isFromService = error instanceof S3ServiceException || error instanceof SandlotError
          if (isFromService || attempt === MAX_ATTEMPTS || abortSignal.aborted) throw error
        }
    })

  const putObject = (
    key: string,
    content: Uint8Array,
    condition: { IfMatch?: string; IfNoneMatch?: string },
  ) =>
    call(`putting ${key} into`, (abortSignal) =>
      client.send(
        new PutObjectCommand({
          ...place(key),
          ...condition,
          Body: content,
          ContentLength: content.length,
          ContentType: 'application/octet-stream',
        }),
        { abortSignal },
      ),
    )

  return {
    name,
    head,

    getTagged,

    put: async (key, content) => void (await putObject(key, content, {})),
    get: async (key, maxBytes) => (await getTagged(key, maxBytes))?.content,

    async putTagged(key, content, replaced) {
      try {
        const condition = replaced === undefined ? { IfNoneMatch: '*' } : { IfMatch: replaced }
        return (await putObject(key, content, condition)).ETag ?? ''
      } catch (error) {
        if (!isLost(error)) throw error
        // an answer that was lost on its way makes the SDK put it again, over what it has put itself
        const there = await getTagged(key)
        return there?.content.equals(content) ? there.tag : undefined
      }
    },

    async *list(below) {
      checkPrefix(below)
      let token: string | undefined
      let pages = 0
      do {
        const page = await call(`listing ${below} in`, (abortSignal) =>
          client.send(
            new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix + below, ContinuationToken: token }),
            { abortSignal },
          ),
        )
        for (const { Key, Size, LastModified } of page.Contents ?? [])
          if (Key?.startsWith(prefix + below) && !Key.endsWith('/'))
            yield {
              key: Key.slice(prefix.length),
              sizeBytes: Size ?? 0,
              modifiedAtMs: LastModified?.getTime() ?? 0,
            }
        token = page.NextContinuationToken
        if (++pages > MAX_PAGES)
          throw new SandlotError(
            'checkpoint_damaged',
            `the list of ${below} in ${name} does not end within ${MAX_PAGES} pages`,
          )
      } while (token)
    },

    /** S3 cannot delete on condition of a time: who may write at the same moment keeps away by a grace time. */
    async delete(key, { ifUnmodifiedSinceMs } = {}) {
      if (ifUnmodifiedSinceMs !== undefined) {
        const found = await head(key)
        if (!found) return true
        if (found.modifiedAtMs > ifUnmodifiedSinceMs) return false
      }
      await call(`deleting ${key} from`, async (abortSignal) => {
        await client.send(new DeleteObjectCommand(place(key)), { abortSignal })
      })
      return true
    },

    close() {
      closing.abort()
      client.destroy()
    },
  }
}

function bounded(body: Readable): Readable {
  let came = 0
  const limit = new Transform({
    transform(part: Buffer, _encoding, done) {
      came += part.length
      if (came > MAX_ANSWER_BYTES) done(new Error(`the answer has more than ${MAX_ANSWER_BYTES} bytes`))
      else done(null, part)
    },
  })
  return pipeline(body, limit, () => {})
}

/** What a service sends beyond the length that it gave, or without giving one, is not read. */
async function readWhole(body: Readable, length: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let came = 0
  // leaving the loop destroys the stream
  for await (const part of body as AsyncIterable<Buffer>) {
    came += part.length
    if (came > length) break
    parts.push(part)
  }
  if (came !== length) throw new Error(`${came} of ${length} bytes came`)
  return Buffer.concat(parts, length)
}

/** @returns the prefix with a slash behind it, or nothing */
function checkedPrefix({ bucket, endpoint, prefix = '' }: S3StoreOptions): string {
  if (!BUCKET.test(bucket))
    throw new SandlotError(
      'invalid_request',
      `bucket ${JSON.stringify(bucket)} must be 3 to 63 lower-case letters, digits, '.' and '-'`,
    )
  if (endpoint !== undefined && !/^https?:$/.test(URL.parse(endpoint)?.protocol ?? ''))
    throw new SandlotError(
      'invalid_request',
      `endpoint ${JSON.stringify(endpoint)} must be a URL that begins with http:// or https://`,
    )
  const trimmed = prefix.replace(/\/$/, '')
  if (trimmed === '') return ''
  checkKey(trimmed)
  return `${trimmed}/`
}

const isNotFound = (error: unknown): boolean =>
  error instanceof S3ServiceException &&
  error.$metadata.httpStatusCode === 404 &&
  error.name !== 'NoSuchBucket'

/** Another state was there: 412; 404 when it was to be replaced and is gone; 409 when two came together. */
function isLost(error: unknown): boolean {
  const { cause } = error as Error
  return (
    cause instanceof S3ServiceException &&
    cause.name !== 'NoSuchBucket' &&
    [404, 409, 412].includes(cause.$metadata.httpStatusCode ?? 0)
  )
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { name, message } = error
  if (name === 'TimeoutError') return `no answer in time (${message})`
  const { code } = error as NodeJS.ErrnoException
  return [name === 'Error' ? undefined : name, code, message || undefined].filter(Boolean).join(': ')
}
