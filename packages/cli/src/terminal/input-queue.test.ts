import { describe, expect, it, vi } from 'vitest'
import { InputQueue } from './input-queue.ts'

class Source {
  isPaused = false
  pause(): void {
    this.isPaused = true
  }
  resume(): void {
    this.isPaused = false
  }
}

describe('InputQueue', () => {
  it('sends one request at a time, and all input typed meanwhile in the next', async () => {
    const sent: string[] = []
    const gates: (() => void)[] = []
    const queue = new InputQueue(new Source(), async (data) => {
      sent.push(Buffer.from(data).toString())
      await new Promise<void>((open) => gates.push(open))
    })
    queue.push(Buffer.from('a'))
    queue.push(Buffer.from('b'))
    queue.push(Buffer.from('c'))
    expect(sent).toEqual(['a'])
    gates.shift()!()
    await expect.poll(() => sent).toEqual(['a', 'bc'])
    gates.shift()!()
    await queue.settled()
  })

  it('pauses its source while more than 64 KiB wait, and splits them into requests of 64 KiB', async () => {
    const source = new Source()
    const sizes: number[] = []
    let open: (() => void) | undefined
    const queue = new InputQueue(source, async (data) => {
      sizes.push(data.length)
      if (sizes.length === 1) await new Promise<void>((resolve) => (open = resolve))
    })
    queue.push(Buffer.alloc(1))
    queue.push(Buffer.alloc(150_000))
    expect(source.isPaused).toBe(true)
    open!()
    await queue.settled()
    expect(sizes).toEqual([1, 65_536, 65_536, 18_928])
    expect(source.isPaused).toBe(false)
  })

  it('drops pending input when it is closed', async () => {
    const sent: string[] = []
    let open: (() => void) | undefined
    const queue = new InputQueue(new Source(), async (data) => {
      sent.push(Buffer.from(data).toString())
      await new Promise<void>((resolve) => (open = resolve))
    })
    queue.push(Buffer.from('a'))
    queue.push(Buffer.from('b'))
    queue.close()
    open!()
    await queue.settled()
    expect(sent).toEqual(['a'])
  })

  it('sends input that comes fast through one stream, which ends with the input', async () => {
    const sent: string[] = []
    const streamed: number[] = []
    const queue = new InputQueue(
      new Source(),
      async (data) => void sent.push(Buffer.from(data).toString()),
      async (pieces) => {
        for await (const piece of pieces) {
          streamed.push(piece.length)
          if (streamed.length === 3) queue.push(Buffer.alloc(7))
        }
      },
    )
    queue.push(Buffer.from('a'))
    await new Promise(setImmediate)
    queue.push(Buffer.alloc(150_000))
    await queue.settled()
    expect(sent).toEqual(['a'])
    expect(streamed).toEqual([65_536, 65_536, 18_928, 7])
  })

  it('sends single keys with requests again after a stream has waited in vain', async () => {
    vi.useFakeTimers()
    try {
      const log: string[] = []
      const queue = new InputQueue(
        new Source(),
        async (data) => void log.push(Buffer.from(data).toString()),
        async (pieces) => {
          for await (const _ of pieces) log.push('piece')
          log.push('end')
        },
      )
      queue.push(Buffer.alloc(65_536))
      await vi.advanceTimersByTimeAsync(900)
      queue.push(Buffer.from('x'))
      await vi.advanceTimersByTimeAsync(900)
      expect(log).toEqual(['piece', 'piece'])
      await vi.advanceTimersByTimeAsync(200)
      queue.push(Buffer.from('y'))
      await queue.settled()
      expect(log).toEqual(['piece', 'piece', 'end', 'y'])
    } finally {
      vi.useRealTimers()
    }
  })
})
