/** One step of the set-up, as shown to users. */
export interface Step {
  /** Shows the current activity of the step. */
  update(text: string): void
}

export interface Progress {
  /**
   * Shows a step while `work` runs, and the result of `work` beside the step's name at the end.
   * Nothing is drawn for the first 150 ms, so that steps with nothing to do do not flicker.
   */
  step(name: string, work: (step: Step) => Promise<string>): Promise<void>
}

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']
const FRAME_MS = 120
const SILENT_MS = 150
const HEARTBEAT_MS = 15_000

/** Shows progress: on a terminal one line that changes in place, elsewhere plain lines, at least one every 15 s. */
export function createProgress(output: NodeJS.WriteStream = process.stderr): Progress {
  return {
    async step(name, work) {
      const started = performance.now()
      const elapsed = () => Math.round((performance.now() - started) / 1000)
      let text = ''
      const show = output.isTTY
        ? spinner(output, () => line(name, text, elapsed()))
        : heartbeat(output, () => line(name, text, elapsed()))
      try {
        const detail = await work({ update: (now) => void (text = now) })
        show.end()
        output.write(`✓ ${name}: ${detail}${elapsed() >= 1 ? ` (${elapsed()} s)` : ''}\n`)
      } catch (error) {
        show.end()
        output.write(`✗ ${name}\n`)
        throw error
      }
    },
  }
}

const line = (name: string, text: string, seconds: number): string =>
  `${name}${text ? `: ${text}` : ''}${seconds >= 2 ? ` (${seconds} s)` : ''}`

function spinner(output: NodeJS.WriteStream, text: () => string): { end(): void } {
  let frame = 0
  const started = performance.now()
  const timer = setInterval(() => {
    if (performance.now() - started < SILENT_MS) return
    const shown = `${FRAMES[frame++ % FRAMES.length]} ${text()}`.slice(0, (output.columns || 80) - 1)
    output.write(`\r\x1b[2K${shown}`)
  }, FRAME_MS)
  return {
    end() {
      clearInterval(timer)
      output.write('\r\x1b[2K')
    },
  }
}

function heartbeat(output: NodeJS.WriteStream, text: () => string): { end(): void } {
  const first = setTimeout(() => output.write(`· ${text()}\n`), SILENT_MS)
  const timer = setInterval(() => output.write(`· ${text()}\n`), HEARTBEAT_MS)
  return {
    end() {
      clearTimeout(first)
      clearInterval(timer)
    },
  }
}
