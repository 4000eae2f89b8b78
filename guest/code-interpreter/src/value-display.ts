import type { OutputLine } from './output.ts'

/** Figures also have a text ("plot without title"). */
const PICTURES = ['png', 'jpeg', 'svg', 'pdf']

/**
 * For kernels that show the value of code like any other output: takes the last output that is no picture for the value of
 * the code. An output is held back until it is known to be the last.
 */
export class ValueDisplay {
  readonly #write: (line: OutputLine) => void
  #held: OutputLine | undefined

  constructor(write: (line: OutputLine) => void) {
    this.#write = write
  }

  write(line: OutputLine): void {
    this.#release()
    if (line.type === 'result' && !PICTURES.some((field) => field in line)) this.#held = line
    else this.#write(line)
  }

  /** @param isWhole whether the code ran to its end */
  end(isWhole: boolean): void {
    if (this.#held?.type === 'result' && isWhole) this.#held = { ...this.#held, is_main_result: true }
    this.#release()
  }

  #release(): void {
    const held = this.#held
    this.#held = undefined
    if (held) this.#write(held)
  }
}
