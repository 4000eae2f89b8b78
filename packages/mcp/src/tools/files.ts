import { z } from 'zod'
import { ToolFailure } from '../failure.ts'
import { wholeCharacters } from '../output/clip.ts'
import { isPicture } from '../output/picture.ts'
import type { Sandbox } from '../sdk.ts'
import { defineTool, sandboxId } from './tool.ts'

const DEFAULT_READ_BYTES = 32_000
const MAX_READ_BYTES = 256_000
/** Bytes of a file that are read and dropped to reach an offset; beyond, commands of the sandbox are faster. */
const MAX_SKIPPED_BYTES = 8 * 1024 * 1024
const MAX_WRITTEN_CHARS = 4 * 1024 * 1024
const MAX_PICTURE_BYTES = 3 * 1024 * 1024
const MAX_ENTRIES = 1_000
/** Characters of all paths of a list; a thousand ordinary ones have less, and a model reads all of them. */
const MAX_PATH_CHARS = 200_000

const PICTURES: Record<string, string> = {
  png: 'image/png',
  jpg: 'image/jpeg',
  jpeg: 'image/jpeg',
  gif: 'image/gif',
  webp: 'image/webp',
}

const path = z
  .string()
  .min(1)
  .max(4096)
  .describe("Path in the sandbox. A relative path begins in the home of the template's user.")

/** Reads at most `maxBytes` from an offset, and no more of the file than that takes. */
async function readPart(
  sandbox: Sandbox,
  { file, offset, maxBytes, signal }: { file: string; offset: number; maxBytes: number; signal: AbortSignal },
): Promise<Uint8Array> {
  const stream = await sandbox.files.read(file, { format: 'stream', signal })
  const part = new Uint8Array(maxBytes)
  let at = 0
  let size = 0
  const reader = stream.getReader()
  try {
    while (size < maxBytes) {
      const { done, value } = await reader.read()
      if (done) break
      const wanted = value.subarray(Math.max(0, offset - at)).subarray(0, maxBytes - size)
      at += value.length
      part.set(wanted, size)
      size += wanted.length
    }
  } finally {
    await reader.cancel().catch(() => {})
  }
  return part.subarray(0, size)
}

export const readFile = defineTool({
  name: 'read_file',
  title: 'Read a file of a sandbox',
  description: `
Reads a file of a sandbox, or a part of it, as text (or base64). A paused sandbox is resumed.

At most max_bytes are returned. When more follows, next_offset_bytes is there: call again with it as offset_bytes. Offsets up to 8 MiB are possible; for parts further inside, and to search, use run_command with tail, sed or grep. For pictures use view_image.

Errors: a path that does not exist or is a directory (list_files shows what there is); a file that its user may not read (run_command with user 'root' can).`,
  hints: { readOnly: true, idempotent: true },
  input: {
    sandbox_id: sandboxId,
    path,
    offset_bytes: z
      .number()
      .int()
      .min(0)
      .max(MAX_SKIPPED_BYTES)
      .default(0)
      .describe('Where to begin, in bytes from the start. Default 0.'),
    max_bytes: z
      .number()
      .int()
      .min(1)
      .max(MAX_READ_BYTES)
      .default(DEFAULT_READ_BYTES)
      .describe(`Most bytes to return, 1 to ${MAX_READ_BYTES}. Default ${DEFAULT_READ_BYTES}.`),
    encoding: z
      .enum(['utf8', 'base64'])
      .default('utf8')
      .describe("How content is returned. Default 'utf8'; use 'base64' for files that are not text."),
  },
  output: {
    content: z.string(),
    encoding: z.enum(['utf8', 'base64']),
    size_bytes: z.number().describe('Size of the whole file.'),
    next_offset_bytes: z.number().optional().describe('There is more: pass this as offset_bytes.'),
  },
  async run({ sandbox_id, path: file, offset_bytes: offset, max_bytes: maxBytes, encoding }, context) {
    const { connection, signal } = context
    const sandbox = await connection.open(sandbox_id, signal)
    const { size, type } = await sandbox.files.getInfo(file, { signal })
    if (type === 'dir') throw new ToolFailure(`${file} is a directory: list_files lists it`)
    const bytes = await readPart(sandbox, { file, offset, maxBytes, signal })
    const whole = encoding === 'utf8' ? bytes.subarray(0, wholeCharacters(bytes) || bytes.length) : bytes
    const next = offset + whole.length
    // a file that grows while it is read, or one of /proc, is larger than it says
    const isMore = bytes.length === maxBytes || next < size
    return {
      content: encoding === 'utf8' ? new TextDecoder().decode(whole) : base64(whole),
      encoding,
      size_bytes: Math.max(size, next),
      ...(isMore && whole.length > 0 && { next_offset_bytes: next }),
    }
  },
})

export const viewImage = defineTool({
  name: 'view_image',
  title: 'Look at a picture of a sandbox',
  description: `
Returns a picture file of a sandbox (png, jpg, gif, webp; at most 3 MiB) so that you see it: a screenshot, a chart, a scan. Shrink larger ones first, for example with run_command and Python's Pillow.`,
  hints: { readOnly: true, idempotent: true },
  input: { sandbox_id: sandboxId, path },
  output: undefined,
  async run({ sandbox_id, path: file }, { connection, signal }) {
    const mimeType = PICTURES[file.split('.').at(-1)!.toLowerCase()]
    if (!mimeType)
      throw new ToolFailure(
        `${file} is no picture by its name: it must end in ${Object.keys(PICTURES).join(', ')}`,
      )
    const sandbox = await connection.open(sandbox_id, signal)
    const bytes = await readPart(sandbox, { file, offset: 0, maxBytes: MAX_PICTURE_BYTES + 1, signal })
    if (bytes.length > MAX_PICTURE_BYTES)
      throw new ToolFailure(`${file} has more than 3 MiB: make it smaller, and look at that`)
    const data = base64(bytes)
    if (!isPicture(data, mimeType)) throw new ToolFailure(`${file} does not begin as ${mimeType} does`)
    return { text: `${file}, ${bytes.length} bytes`, pictures: [{ data, mimeType }] }
  },
})

export const writeFile = defineTool({
  name: 'write_file',
  title: 'Write a file of a sandbox',
  description: `
Writes a file of a sandbox. Replaces an existing file as a whole, and creates missing directories. A paused sandbox is resumed. To change a part of a file, use run_command (sed, python, git apply), or read it and write it again.

Errors: a path that is a directory or that the user may not write (run_command with user 'root' can); a full disk.`,
  hints: { destructive: true, idempotent: true },
  input: {
    sandbox_id: sandboxId,
    path,
    content: z.string().max(MAX_WRITTEN_CHARS).describe('New content, at most 4 Mi characters.'),
    encoding: z
      .enum(['utf8', 'base64'])
      .default('utf8')
      .describe("How content is given. Default 'utf8'; 'base64' for files that are not text."),
  },
  output: { path: z.string().describe('Absolute path.'), size_bytes: z.number() },
  async run({ sandbox_id, path: file, content, encoding }, { connection, signal }) {
    const bytes = encoding === 'base64' ? fromBase64(content) : new TextEncoder().encode(content)
    const sandbox = await connection.open(sandbox_id, signal)
    const written = await sandbox.files.write(file, new Blob([bytes]), { signal })
    return { path: written.path, size_bytes: bytes.length }
  },
})

export const listFiles = defineTool({
  name: 'list_files',
  title: 'List a directory of a sandbox',
  description: `
Lists the files and directories in a directory of a sandbox, sorted by name. A paused sandbox is resumed.

Returns at most ${MAX_ENTRIES} entries, fewer if their paths are very long; is_cut: true says that there are more: list a directory below, or use run_command with find or ls.`,
  hints: { readOnly: true, idempotent: true },
  input: {
    sandbox_id: sandboxId,
    path: path.default('.').describe("Directory. Default '.', the home of the template's user."),
    depth: z
      .number()
      .int()
      .min(1)
      .max(5)
      .default(1)
      .describe('Levels of directories to list, 1 to 5. Default 1: only the directory itself.'),
  },
  output: {
    entries: z.array(
      z.object({
        path: z.string(),
        type: z.enum(['file', 'dir', 'symlink']),
        size_bytes: z.number(),
        modified_at: z.string().optional(),
      }),
    ),
    is_cut: z.boolean().optional(),
  },
  async run({ sandbox_id, path: directory, depth }, { connection, signal }) {
    const sandbox = await connection.open(sandbox_id, signal)
    const entries = await sandbox.files.list(directory, { depth, signal })
    const shown = fitting(entries)
    return {
      entries: shown.map(({ path: found, type, size, modifiedTime }) => ({
        path: found,
        type: type ?? 'file',
        size_bytes: size,
        ...(modifiedTime && { modified_at: modifiedTime.toISOString() }),
      })),
      ...(entries.length > shown.length && { is_cut: true }),
    }
  },
})

/** Returns as many of the first entries as an answer may have. */
export function fitting<Entry extends { path: string }>(entries: Entry[]): Entry[] {
  let chars = 0
  const end = entries.findIndex(
    ({ path: { length } }, at) => at >= MAX_ENTRIES || (chars += length) > MAX_PATH_CHARS,
  )
  return end < 0 ? entries : entries.slice(0, end)
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const compact = text.replace(/\s/g, '')
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(compact))
    throw new ToolFailure('content is not base64: send it as base64, or with encoding utf8')
  return Uint8Array.from(Buffer.from(compact, 'base64'))
}
