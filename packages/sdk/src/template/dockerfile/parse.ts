/** One instruction of a Dockerfile. */
export interface DockerInstruction {
  /** In capitals. */
  keyword: string
  /** `--chown=a:b` as `chown: 'a:b'`; a flag without a value is the empty string. */
  flags: Record<string, string>
  /** Rest of the instruction after keyword and flags, with continued lines joined, without here-documents. */
  text: string
  heredocs: HereDocument[]
  /** Number of the first line, from 1. */
  line: number
}

export interface HereDocument {
  name: string
  /** Lines of the here-document, each with its line break. */
  content: string
  /** Lines and closing name as in the file, to be appended to the command that reads the here-document. */
  source: string
}

const WITH_FLAGS = ['FROM', 'RUN', 'COPY', 'ADD', 'HEALTHCHECK']
const WITH_HEREDOCS = ['RUN', 'COPY', 'ADD']

/**
 * Splits a Dockerfile as BuildKit does: parser directives, comments, continued lines, here-documents
 * (https://docs.docker.com/reference/dockerfile/).
 */
export function parseDockerfile(content: string): DockerInstruction[] {
  const lines = content.replace(/^\uFEFF/, '').split(/\r?\n/)
  const continued = continuationPattern(lines)
  const instructions: DockerInstruction[] = []
  for (let at = 0; at < lines.length; at++) {
    if (isBlankOrComment(lines[at]!)) continue
    const line = at + 1
    let joined = ''
    for (; at < lines.length; at++) {
      const text = lines[at]!
      // Blank lines and comments inside a continued instruction do not end it.
      if (isBlankOrComment(text)) continue
      joined += text.replace(continued, '$1')
      if (!continued.test(text)) break
    }
    const instruction = readInstruction(joined, line)
    at = readHeredocs(instruction, lines, at)
    instructions.push(instruction)
  }
  return instructions
}

/** Returns the strings of `["a", "b"]`; undefined if the text is not such a list, which means the shell form. */
export function execForm(text: string): string[] | undefined {
  if (!text.startsWith('[')) return undefined
  try {
    const list: unknown = JSON.parse(text)
    return Array.isArray(list) && list.every((item) => typeof item === 'string') ? list : undefined
  } catch {
    return undefined
  }
}

const isBlankOrComment = (line: string): boolean => /^\s*(#|$)/.test(line)

/**
 * Matches the escape character at the end of a line, unless it is itself escaped; `# escape=` on top changes the
 * character.
 */
function continuationPattern(lines: string[]): RegExp {
  for (const line of lines) {
    const directive = line.match(/^\s*#\s*([a-zA-Z]+)\s*=\s*(\S+)\s*$/)
    if (!directive) break
    if (directive[1]!.toLowerCase() === 'escape' && directive[2] === '`') return /(^|[^`])`[ \t]*$/
  }
  return /(^|[^\\])\\[ \t]*$/
}

function readInstruction(joined: string, line: number): DockerInstruction {
  const [, word, rest] = joined.match(/^\s*(\S+)\s*([\s\S]*?)\s*$/) as unknown as [string, string, string]
  const keyword = word.toUpperCase()
  const flags: Record<string, string> = {}
  let text = rest
  while (WITH_FLAGS.includes(keyword)) {
    const flag = text.match(/^--([a-z-]+)(?:=(\S*))?(?:\s+|$)/)
    if (!flag) break
    flags[flag[1]!] = flag[2] ?? ''
    text = text.slice(flag[0].length)
  }
  return { keyword, flags, text, heredocs: [], line }
}

/** @returns index of the last line that belongs to the instruction */
function readHeredocs(instruction: DockerInstruction, lines: string[], lastLine: number): number {
  if (!WITH_HEREDOCS.includes(instruction.keyword) || execForm(instruction.text)) return lastLine
  let at = lastLine
  for (const [, dash, , name] of instruction.text.matchAll(/(?:^|\s)\d*<<(-?)(['"]?)([\w.-]+)\2(?=\s|$)/g)) {
    const body: string[] = []
    let closed = false
    while (!closed && ++at < lines.length) {
      const line = lines[at]!
      closed = (dash ? line.replace(/^\t+/, '') : line) === name
      body.push(line)
    }
    const inside = closed ? body.slice(0, -1) : body
    const content = inside.map((line) => `${dash ? line.replace(/^\t+/, '') : line}\n`).join('')
    instruction.heredocs.push({ name: name!, content, source: body.join('\n') })
  }
  return Math.min(at, lines.length - 1)
}
