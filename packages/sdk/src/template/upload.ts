import type { ApiClient } from '../api/client.ts'
import { apiErrorOf } from '../api/error.ts'
import type { ConnectionConfig } from '../connection-config.ts'
import { FileUploadError } from '../errors.ts'
import { pooledFetch } from '../http/pools.ts'
import { runtime } from '../http/runtime.ts'
import { stackFrom } from './caller-trace.ts'
import { packArchive } from './context/archive.ts'
import { contextFiles, contextIgnoreRules } from './context/context-files.ts'
import { filesHash } from './context/files-hash.ts'
import { type ContextModules, contextModules } from './context/modules.ts'
import type { Step } from './step.ts'
import type { FileContext } from './template-draft.ts'

/**
 * Enough for a large context over a slow connection. One limit for all sizes, as the speed of the connection is
 * unknown.
 */
const UPLOAD_TIMEOUT_MS = 3_600_000
/** Archives that are packed and sent at the same time: each takes disk space and a core. */
const CONCURRENT_UPLOADS = 4

/** Returns the steps, with the hash of the files added to each COPY. */
export async function withFilesHashes(
  steps: Step[],
  context: FileContext,
  traces: (string | undefined)[],
): Promise<Step[]> {
  if (!steps.some(({ type }) => type === 'COPY')) return steps
  const modules = await contextModules()
  const select = await selector(context)
  const hashed: Step[] = []
  for (const [at, step] of steps.entries()) {
    if (step.type !== 'COPY') {
      hashed.push(step)
      continue
    }
    const [src = '', dest = ''] = step.args
    const files = await tracing(traces[at], () => contextFiles(modules, select(step)))
    hashed.push({ ...step, filesHash: await filesHash(modules, src, dest, files) })
  }
  return hashed
}

/** Context of the uploads of one template's files. */
export interface Uploads {
  api: ApiClient['api']
  config: ConnectionConfig
  templateId: string
  context: FileContext
  traces: (string | undefined)[]
  signal?: AbortSignal
  onUploaded(src: string): void
  onCached(src: string): void
}

/**
 * Sends the files of each COPY that the server does not have, or whose upload is forced.
 *
 * @throws {@link FileUploadError} with the line of the `copy` that failed
 */
export async function uploadFiles(steps: Step[], uploads: Uploads): Promise<void> {
  const jobs = steps.flatMap((step, at) =>
    step.type === 'COPY' ? [{ step, trace: uploads.traces[at] }] : [],
  )
  const next = jobs.values()
  // The first failure ends the build and cancels pending uploads.
  const failed = new AbortController()
  const signal = uploads.signal ? AbortSignal.any([uploads.signal, failed.signal]) : failed.signal
  const work = async () => {
    for (const { step, trace } of next)
      await tracing(trace, () => uploadStep(step, { ...uploads, signal }, trace))
  }
  const workers = Array.from({ length: CONCURRENT_UPLOADS }, work)
  try {
    await Promise.all(workers)
  } catch (error) {
    failed.abort(error)
    await Promise.allSettled(workers)
    throw error
  }
}

async function uploadStep(step: Step, uploads: Uploads, trace: string | undefined): Promise<void> {
  const { api, config, templateId, signal } = uploads
  const [src = ''] = step.args
  const answer = await api.GET('/templates/{templateID}/files/{hash}', {
    params: { path: { templateID: templateId, hash: step.filesHash! } },
    signal: config.getSignal(undefined, signal),
  })
  const error = apiErrorOf(answer, FileUploadError, trace)
  if (error) throw error
  const { present, url, headers } = answer.data!
  if (url === undefined || (present && !step.forceUpload)) return uploads.onCached(src)
  await sendArchive(step, url, headers, uploads)
  uploads.onUploaded(src)
}

async function sendArchive(
  step: Step,
  url: string,
  headers: Record<string, string> | undefined,
  { config, context, signal }: Uploads,
): Promise<void> {
  const modules = await contextModules()
  const select = await selector(context)
  const files = await contextFiles(modules, select(step))
  const archive = await packArchive(modules, files, step.gzip ?? true)
  try {
    const response = await pooledFetch('files', config.proxy)(url, {
      method: 'PUT',
      signal: config.getSignal(UPLOAD_TIMEOUT_MS, signal),
      ...(await archiveBody(modules, archive.path, headers)),
    })
    const text = await response.text()
    if (!response.ok)
      throw new FileUploadError(
        `Failed to upload file: ${[response.status, response.statusText, text.slice(0, 500)].filter(Boolean).join(' ')}`,
      )
  } finally {
    await archive.remove()
  }
}

/** Returns a body that is read while it is sent but has a known length, as object stores refuse chunked uploads. */
async function archiveBody(
  { fs, stream }: ContextModules,
  path: string,
  headers: Record<string, string> | undefined,
): Promise<RequestInit> {
  // Node's fetch reads blobs of files ahead without bounds (900 MB of memory for 800 MB), but takes the length of a
  // stream from the header; Bun and Deno set that header themselves, and only for blobs.
  if (runtime !== 'node') return { headers, body: await fs.openAsBlob(path) }
  const { size } = await fs.promises.stat(path)
  const body = stream.Readable.toWeb(fs.createReadStream(path))
  return { headers: { ...headers, 'content-length': String(size) }, body, duplex: 'half' } as RequestInit
}

async function selector({ fileContextPath, fileIgnorePatterns }: FileContext) {
  const modules = await contextModules()
  const contextDirectory = modules.path.resolve(fileContextPath)
  const ignore = await contextIgnoreRules(modules, contextDirectory, fileIgnorePatterns)
  return ({ args: [src = ''], resolveSymlinks = false }: Step) => ({
    contextDirectory,
    src: src.replaceAll(modules.path.win32.sep === modules.path.sep ? '\\' : '\0', '/'),
    ignore,
    resolveSymlinks,
  })
}

/** Makes errors show the caller's `copy` instead of the SDK's frames. */
async function tracing<Result>(trace: string | undefined, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    if (trace && error instanceof Error && !isAbort(error)) error.stack = stackFrom(error, trace)
    throw error
  }
}

const isAbort = ({ name }: Error): boolean => name === 'AbortError' || name === 'TimeoutError'
