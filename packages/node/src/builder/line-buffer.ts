type Stream = 'stdout' | 'stderr'

const MAX_LINE = 4_000
const MAX_KEPT = 100

/** Splits output that arrives in pieces into lines; a carriage return, as in progress bars, ends a line too. */
export class LineBuffer {
  readonly #onLine: (line: string, from: Stream) => void
  readonly #partial = { stdout: '', stderr: '' }
  readonly #kept: string[] = []

  constructor(onLine: (line: string, from: Stream) => void) {
    this.#onLine = onLine
  }

  add(text: string, from: Stream): void {
    const lines = (this.#partial[from] + text).split(/\r\n|[\r\n]/)
    this.#partial[from] = lines.pop()!
    for (const line of lines) this.#report(line, from)
    if (this.#partial[from].length > MAX_LINE) {
      this.#report(this.#partial[from], from)
      this.#partial[from] = ''
    }
  }

  /** Reports text without a line end as a line. */
  end(): void {
    for (const from of ['stdout', 'stderr'] as const) {
      this.#report(this.#partial[from], from)
      this.#partial[from] = ''
    }
  }

  /** @returns the newest lines */
  last(count: number): string {
    return this.#kept.slice(-count).join('\n')
  }

  #report(line: string, from: Stream): void {
    if (line.trim() === '') return
    const shown = line.slice(0, MAX_LINE)
    this.#kept.push(shown)
    if (this.#kept.length > MAX_KEPT) this.#kept.shift()
    this.#onLine(shown, from)
  }
}
