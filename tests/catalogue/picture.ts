import { decode } from 'fast-png'

/** A decoded screenshot. */
export class Picture {
  readonly width: number
  readonly height: number
  readonly #pixels: Uint32Array

  /** Decodes a picture. @throws when the bytes are not a PNG of 8 bits a channel */
  constructor(png: Uint8Array) {
    const { width, height, channels, depth, data } = decode(png)
    if (depth !== 8 || channels < 3)
      throw new Error(`${channels} channels of ${depth} bits: want RGB or RGBA of 8`)
    this.width = width
    this.height = height
    this.#pixels = Uint32Array.from({ length: width * height }, (_, index) => {
      const at = index * channels
      return (data[at]! << 16) | (data[at + 1]! << 8) | data[at + 2]!
    })
  }

  /** Counts the different colours of a picture. */
  colours(): number {
    return new Set(this.#pixels).size
  }

  /** Share of the pixels that have this colour, 0 to 1. */
  shareOf(rgb: number): number {
    return this.#pixels.reduce((count, pixel) => count + Number(pixel === rgb), 0) / this.#pixels.length
  }

  /** Share of the pixels that are equal in another picture of the same size, 0 to 1. */
  shareIn(other: Picture): number {
    if (other.width !== this.width || other.height !== this.height) return 0
    const same = this.#pixels.reduce(
      (count, pixel, index) => count + Number(pixel === other.#pixels[index]),
      0,
    )
    return same / this.#pixels.length
  }
}
