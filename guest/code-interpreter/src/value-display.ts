import type { OutputLine } from './output.ts'

/** Fields of pictures, whose text ("plot without title") is not a value. */
const PICTURES = ['png', 'jpeg', 'svg', 'pdf']

/**
 * For kernels that show the value of code like any other output: treats the last output that is not a picture as the
 * value of the code. An output is held back until it is known whether it is the last.
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

  /** @param isWhole whether the code succeeded */
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
