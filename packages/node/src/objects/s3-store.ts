import { pipeline, Readable, Transform } from 'node:stream'
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type PutObjectCommandOutput,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3'
import { SandlotError, withoutCredentials } from '@sandlot/protocol'
import {
  checkKey,
  checkPrefix,
  type DeleteOptions,
  MAX_OBJECT_BYTES,
  type ObjectStore,
  type StoredObject,
} from './object-store.ts'
import type { TaggedObject, TaggedStore } from './tagged-store.ts'

const MAX_SOCKETS = 32
const CONNECTION_TIMEOUT_MS = 5_000
/** Longest time without a byte on the connection. */
const IDLE_TIMEOUT_MS = 20_000
/** Longest time of one call, including its retries. */
const CALL_TIMEOUT_MS = 120_000
const MAX_ATTEMPTS = 3
const RETRY_AFTER_SECONDS = 10
/** Limit of answers other than objects: a page of a list has 1000 keys of at most 1 KiB. */
const MAX_ANSWER_BYTES = 4 * 2 ** 20
/** Limit of pages, in case a service never ends a list. */
const MAX_PAGES = 100_000

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/

export interface S3StoreOptions {
  bucket: string
  /** URL of the service, e.g. `https://minio.example.com`. Default: that of Amazon for the region. */
  endpoint?: string
  /** Default `us-east-1`, which is what most services other than Amazon's expect. */
  region?: string
  /** Folder inside of the bucket, e.g. `sandlot/production`. Default: the bucket's root. */
  prefix?: string
  /** Default: those that the AWS SDK finds (environment, shared files, instance role). */
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string }
  /** `<endpoint>/<bucket>/<key>` instead of `<bucket>.<endpoint>/<key>`. Default: true when there is an `endpoint`. */
  forcePathStyle?: boolean
}

/**
 * Objects in a bucket of Amazon S3 or of a service with the same API. Each request is tried up to three times;
 * checksums are sent with every put and verified on every get, if the service stores them.
 *
 * @example
 * const remote = new S3Store({ bucket: 'sandboxes', endpoint: 'http://127.0.0.1:7070', credentials })
 */
export class S3Store implements ObjectStore, TaggedStore {
  readonly name: string
  readonly #bucket: string
  /** Empty, or ends with a slash. */
  readonly #prefix: string
  readonly #client: S3Client
  readonly #closing = new AbortController()

  /** @throws SandlotError invalid_request when a setting is invalid; the service is not contacted */
  constructor(options: S3StoreOptions) {
    const { bucket, endpoint } = options
    this.#bucket = bucket
    this.#prefix = checkedPrefix(options)
    this.name = `bucket '${bucket}'${endpoint ? ` at ${withoutCredentials(endpoint)}` : ''}`
    this.#client = openClient(options)
  }

  head(key: string): Promise<StoredObject | undefined> {
    return this.#call(`looking for ${key} in`, async (abortSignal) => {
      try {
        const found = await this.#client.send(new HeadObjectCommand(this.#place(key)), { abortSignal })
        return { key, sizeBytes: found.ContentLength ?? 0, modifiedAtMs: found.LastModified?.getTime() ?? 0 }
      } catch (error) {
        if (isNotFound(error)) return undefined
        throw error
      }
    })
  }

  async get(key: string, maxBytes?: number): Promise<Buffer | undefined> {
    return (await this.getTagged(key, maxBytes))?.content
  }

  getTagged(key: string, maxBytes = MAX_OBJECT_BYTES): Promise<TaggedObject | undefined> {
    return this.#call(`getting ${key} from`, async (abortSignal) => {
      // the SDK retries until the headers arrive, but not when the body is cut off
      for (let attempt = 1; ; attempt++)
        try {
          return await this.#getOnce(key, maxBytes, abortSignal)
        } catch (error) {
          const isFromService = error instanceof S3ServiceException || error instanceof SandlotError
          if (isFromService || attempt === MAX_ATTEMPTS || abortSignal.aborted) throw error
        }
    })
  }

  async put(key: string, content: Uint8Array): Promise<void> {
    await this.#put(key, content, {})
  }

  async putTagged(
    key: string,
    content: Uint8Array,
    replaced: string | undefined,
  ): Promise<string | undefined> {
    try {
      const condition = replaced === undefined ? { IfNoneMatch: '*' } : { IfMatch: replaced }
      return (await this.#put(key, content, condition)).ETag ?? ''
    } catch (error) {
      if (!isLostRace(error)) throw error
      // after a lost answer the SDK repeats its put, and then conflicts with its own first attempt
      const found = await this.getTagged(key)
      return found?.content.equals(content) ? found.tag : undefined
    }
  }

  async *list(folder: string): AsyncIterable<StoredObject> {
    checkPrefix(folder)
    const prefix = this.#prefix + folder
    let token: string | undefined
    let pages = 0
    do {
      const page = await this.#call(`listing ${folder} in`, (abortSignal) =>
        this.#client.send(
          new ListObjectsV2Command({ Bucket: this.#bucket, Prefix: prefix, ContinuationToken: token }),
          { abortSignal },
        ),
      )
      for (const { Key, Size, LastModified } of page.Contents ?? [])
        if (Key?.startsWith(prefix) && !Key.endsWith('/'))
          yield {
            key: Key.slice(this.#prefix.length),
            sizeBytes: Size ?? 0,
            modifiedAtMs: LastModified?.getTime() ?? 0,
          }
      token = page.NextContinuationToken
      if (++pages > MAX_PAGES)
        throw new SandlotError(
          'checkpoint_damaged',
          `the list of ${folder} in ${this.name} does not end within ${MAX_PAGES} pages`,
        )
    } while (token)
  }

  /**
   * Not atomic with `ifUnmodifiedSinceMs`, as S3 cannot compare times: callers use a grace period to avoid conflicts with
   * concurrent writers.
   */
  async delete(key: string, { ifUnmodifiedSinceMs }: DeleteOptions = {}): Promise<boolean> {
    if (ifUnmodifiedSinceMs !== undefined) {
      const found = await this.head(key)
      if (!found) return true
      if (found.modifiedAtMs > ifUnmodifiedSinceMs) return false
    }
    await this.#call(`deleting ${key} from`, async (abortSignal) => {
      await this.#client.send(new DeleteObjectCommand(this.#place(key)), { abortSignal })
    })
    return true
  }

  close(): void {
    this.#closing.abort()
    this.#client.destroy()
  }

  #place(key: string): { Bucket: string; Key: string } {
    checkKey(key)
    return { Bucket: this.#bucket, Key: this.#prefix + key }
  }

  /** Makes one call with a time limit that also covers the body, and maps every failure to a SandlotError. */
  async #call<T>(doing: string, work: (abortSignal: AbortSignal) => Promise<T>): Promise<T> {
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(CALL_TIMEOUT_MS)])
    const aborted = Promise.withResolvers<never>()
    const onAbort = () => aborted.reject(signal.reason)
    signal.addEventListener('abort', onAbort)
    try {
      signal.throwIfAborted()
      return await Promise.race([work(signal), aborted.promise])
    } catch (error) {
      if (error instanceof SandlotError) throw error
      if (this.#closing.signal.aborted)
        throw new SandlotError('server_draining', `${doing} ${this.name}: it was closed`)
      throw new SandlotError('checkpoint_store_unavailable', `${doing} ${this.name}: ${describe(error)}`, {
        cause: error,
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      })
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  async #getOnce(key: string, maxBytes: number, abortSignal: AbortSignal): Promise<TaggedObject | undefined> {
    const command = new GetObjectCommand(this.#place(key))
    const found = await this.#client.send(command, { abortSignal }).catch((error) => {
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
        `${key} in ${this.name} has ${length} bytes; valid objects have at most ${maxBytes}`,
      )
    }
    const content = await readWhole(body, length)
    return { content, tag: found.ETag ?? '' }
  }

  #put(
    key: string,
    content: Uint8Array,
    condition: { IfMatch?: string; IfNoneMatch?: string },
  ): Promise<PutObjectCommandOutput> {
    return this.#call(`putting ${key} into`, (abortSignal) =>
      this.#client.send(
        new PutObjectCommand({
          ...this.#place(key),
          ...condition,
          Body: content,
          ContentLength: content.length,
          ContentType: 'application/octet-stream',
        }),
        { abortSignal },
      ),
    )
  }
}

function openClient({
  endpoint,
  region = 'us-east-1',
  credentials,
  forcePathStyle = endpoint !== undefined,
}: S3StoreOptions): S3Client {
  const client = new S3Client({
    endpoint,
    region,
    credentials,
    forcePathStyle,
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
  return client
}

function bounded(body: Readable): Readable {
  let receivedBytes = 0
  const limit = new Transform({
    transform(part: Buffer, _encoding, done) {
      receivedBytes += part.length
      if (receivedBytes > MAX_ANSWER_BYTES)
        done(new Error(`the answer has more than ${MAX_ANSWER_BYTES} bytes`))
      else done(null, part)
    },
  })
  return pipeline(body, limit, () => {})
}

/** Reads the announced number of bytes; a body of another length is an error. */
async function readWhole(body: Readable, length: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let receivedBytes = 0
  // leaving the loop destroys the stream
  for await (const part of body as AsyncIterable<Buffer>) {
    receivedBytes += part.length
    if (receivedBytes > length) break
    parts.push(part)
  }
  if (receivedBytes !== length) throw new Error(`${receivedBytes} of ${length} bytes arrived`)
  return Buffer.concat(parts, length)
}

/** @returns the prefix with a trailing slash, or an empty string */
function checkedPrefix({ bucket, endpoint, prefix = '' }: S3StoreOptions): string {
  if (!BUCKET.test(bucket))
    throw new SandlotError(
      'invalid_request',
      `bucket ${JSON.stringify(bucket)} must be 3 to 63 lower-case letters, digits, '.' and '-'`,
    )
  if (endpoint !== undefined && !/^https?:$/.test(URL.parse(endpoint)?.protocol ?? ''))
    throw new SandlotError(
      'invalid_request',
      `endpoint ${JSON.stringify(withoutCredentials(endpoint))} must be a URL that begins with http:// or https://`,
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

/**
 * Whether a conditional put has failed because of another writer: 412 another state, 404 the replaced object is gone, 409
 * concurrent puts.
 */
function isLostRace(error: unknown): boolean {
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
