import { text } from 'node:stream/consumers'
import { runAndRead } from './run.ts'

const TIMEOUT_MS = 60_000

/** Prints those of the paths on standard input, each ended by NUL, that the image has. */
const FILTER = `mount -t erofs -o ro "$1" /mnt 2>/dev/null || mount -t erofs -o ro,loop "$1" /mnt || exit 1
while IFS= read -r -d '' path; do
  if [ -e "/mnt$path" ] || [ -L "/mnt$path" ]; then printf '%s\\0' "$path"; fi
done`

/** Which of these paths an image has. It is mounted in a namespace that goes with the process: nothing can be left. */
export async function pathsInImage(imagePath: string, paths: Iterable<string>): Promise<Set<string>> {
  const input = [...paths].map((path) => `${path}\0`).join('')
  const args = ['--mount', '--propagation', 'private', 'bash', '-c', FILTER, 'bash', imagePath]
  const found = await runAndRead('unshare', args, TIMEOUT_MS, text, input)
  return new Set(found.split('\0').filter(Boolean))
}
