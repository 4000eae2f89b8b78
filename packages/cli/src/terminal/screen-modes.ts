/** Private modes that programs switch on and that a shell expects to be off, with the sequence that switches each off. */
const PRIVATE_MODES: Record<string, 'h' | 'l'> = {
  1: 'l', // cursor keys of applications
  25: 'h', // the visible cursor
  47: 'l', // alternate screens
  1047: 'l',
  1049: 'l',
  1000: 'l', // mouse reports
  1002: 'l',
  1003: 'l',
  1004: 'l', // focus reports
  1005: 'l',
  1006: 'l',
  1015: 'l',
  2004: 'l', // bracketed paste
}

// A sequence may be split between two packets, so the end of the last packet is kept.
const LONGEST_SEQUENCE = 32
// biome-ignore lint/suspicious/noControlCharactersInRegex: an escape sequence begins with ESC
const SEQUENCE = /\u001b\[\?([\d;]{1,24})([hl])/g

/**
 * Tracks the modes that a program's output leaves switched on, so that the terminal can be restored when the program ends
 * without cleanup, for example killed in the middle of vim.
 */
export class ScreenModes {
  #changed = new Map<string, 'h' | 'l'>()
  #rest = ''

  observe(output: Uint8Array): void {
    // Escape sequences are ASCII: latin1 keeps every byte and never fails.
    const text =
      this.#rest + Buffer.from(output.buffer, output.byteOffset, output.byteLength).toString('latin1')
    let end = 0
    for (const match of text.matchAll(SEQUENCE)) {
      end = match.index + match[0].length
      for (const mode of match[1]!.split(';')) this.#set(mode, match[2] as 'h' | 'l')
    }
    const last = text.lastIndexOf('\u001b')
    this.#rest = last >= end && text.length - last < LONGEST_SEQUENCE ? text.slice(last) : ''
  }

  /** Sequences that restore every mode. */
  undo(): string {
    const sequence = [...this.#changed].map(([mode, off]) => `\u001b[?${mode}${off}`).join('')
    this.#changed.clear()
    return sequence
  }

  #set(mode: string, to: 'h' | 'l'): void {
    const usual = PRIVATE_MODES[mode]
    if (!usual) return
    if (to === usual) this.#changed.delete(mode)
    else this.#changed.set(mode, usual)
  }
}
