import type { OutputLine } from './output.ts'

/** Figures have a text too ("plot without title"). */
const PICTURES = ['png', 'jpeg', 'svg', 'pdf']

/**
 * For kernels that show the values of code as they show anything else: the last thing shown is taken for the value of
 * the code, when it is no picture. It is held until it is known to be the last.
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
