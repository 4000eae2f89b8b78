import type { ServerInfo } from './server.ts'

export interface TestVolume {
  volumeID: string
  name: string
  token: string
  usedMB?: number
}

export interface TestVolumeEntry {
  path: string
  type: string
  size: number
}

/** An answer that is an error, with its status. */
export class VolumeAnswerError extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(`${status}: ${message}`)
    this.status = status
  }
}

/** Volumes of a server by plain requests: what is sent, and when it is cut off, is up to the test. */
export class VolumeClient {
  readonly #url: string
  readonly #key: string

  constructor({ env }: ServerInfo) {
    this.#url = env.E2B_API_URL!
    this.#key = env.E2B_API_KEY!
  }

  create(body: { name: string; sizeMB?: number; from?: string }): Promise<TestVolume> {
    return this.#json('POST', '/volumes', body)
  }

  list(): Promise<TestVolume[]> {
    return this.#json('GET', '/volumes')
  }

  /** With a new token. */
  get(volumeID: string): Promise<TestVolume> {
    return this.#json('GET', `/volumes/${volumeID}`)
  }

  async delete({ volumeID }: Pick<TestVolume, 'volumeID'>): Promise<void> {
    await this.#ask('DELETE', `/volumes/${volumeID}`)
  }

  async write(volume: TestVolume, path: string, content: BodyInit | ReadableStream): Promise<void> {
    await this.content(volume, 'PUT', 'file', path, content)
  }

  async read(volume: TestVolume, path: string): Promise<string> {
    return (await this.content(volume, 'GET', 'file', path)).text()
  }

  async entries(volume: TestVolume, path = '/', depth = 1): Promise<TestVolumeEntry[]> {
    const response = await this.content(volume, 'GET', `dir`, path, undefined, `&depth=${depth}`)
    return (await response.json()) as TestVolumeEntry[]
  }

  async remove(volume: TestVolume, path: string): Promise<void> {
    await this.content(volume, 'DELETE', 'path', path)
  }

  /** @throws VolumeAnswerError */
  async content(
    { volumeID, token }: TestVolume,
    method: string,
    what: 'file' | 'dir' | 'path',
    path: string,
    body?: BodyInit | ReadableStream,
    more = '&force=true',
  ): Promise<Response> {
    const query = `path=${encodeURIComponent(path)}${method === 'GET' && what !== 'dir' ? '' : more}`
    return answered(
      await fetch(`${this.#url}/volumecontent/${volumeID}/${what}?${query}`, {
        method,
        body: body as BodyInit,
        headers: { authorization: `Bearer ${token}` },
        ...(body instanceof ReadableStream && { duplex: 'half' }),
      } as RequestInit),
    )
  }

  async #json<T>(method: string, path: string, body?: unknown): Promise<T> {
    return (await (await this.#ask(method, path, body)).json()) as T
  }

  async #ask(method: string, path: string, body?: unknown): Promise<Response> {
    return answered(
      await fetch(`${this.#url}${path}`, {
        method,
        body: body === undefined ? undefined : JSON.stringify(body),
        headers: {
          'X-API-Key': this.#key,
          ...(body !== undefined && { 'content-type': 'application/json' }),
        },
      }),
    )
  }
}

async function answered(response: Response): Promise<Response> {
  if (!response.ok) throw new VolumeAnswerError(response.status, await response.text())
  return response
}
