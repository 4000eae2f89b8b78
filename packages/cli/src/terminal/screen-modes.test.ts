import { describe, expect, it } from 'vitest'
import { ScreenModes } from './screen-modes.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

describe('ScreenModes', () => {
  it('leaves the alternate screen, shows the cursor and stops mouse reports that a killed program left', () => {
    const modes = new ScreenModes()
    modes.observe(bytes('\u001b[?1049h\u001b[?25lhello\u001b[?1000;1006h'))
    expect(modes.undo()).toBe('\u001b[?1049l\u001b[?25h\u001b[?1000l\u001b[?1006l')
  })

  it('has nothing to undo when the program restored the modes', () => {
    const modes = new ScreenModes()
    modes.observe(bytes('\u001b[?1049h\u001b[?2004h'))
    modes.observe(bytes('\u001b[?2004l\u001b[?1049l'))
    expect(modes.undo()).toBe('')
  })

  it('reads a sequence that is split between two packets', () => {
    const modes = new ScreenModes()
    modes.observe(bytes('text \u001b[?10'))
    modes.observe(bytes('49h more'))
    expect(modes.undo()).toBe('\u001b[?1049l')
  })

  it('undoes once', () => {
    const modes = new ScreenModes()
    modes.observe(bytes('\u001b[?25l'))
    modes.undo()
    expect(modes.undo()).toBe('')
  })

  it('ignores harmless modes, and bytes that are not text', () => {
    const modes = new ScreenModes()
    modes.observe(bytes('\u001b[?7h\u001b[?12h'))
    modes.observe(Uint8Array.of(0xff, 0x1b, 0x80))
    expect(modes.undo()).toBe('')
  })
})
