import http from 'node:http'
import type { InternetInfo } from './internet.ts'
import type { RecordedRequest, Records } from './services/records.ts'
import type { Entry } from './services/zone.ts'

const TIMEOUT_MS = 10_000

/** Reads what reached an internet, and changes its names, from any process. */
export class InternetControl {
  readonly info: InternetInfo

  constructor(info: InternetInfo) {
    this.info = info
  }

  get addresses(): InternetInfo['addresses'] {
    return this.info.addresses
  }

  /** Everything that arrived since the start. */
  records(): Promise<Omit<Records, 'add'>> {
    return this.#call('GET', '/records')
  }

  /** Requests whose path contains this text: tests give each request a path of its own. */
  async requestsFor(text: string): Promise<RecordedRequest[]> {
    return (await this.records()).requests.filter(({ path }) => path.includes(text))
  }

  /** Changes what the name server answers, from now on. */
  async setName(name: string, entry: Entry): Promise<void> {
    await this.#call('PUT', `/names/${name}`, entry)
  }

  #call<T>(method: string, path: string, body?: unknown): Promise<T> {
    return new Promise((resolve, reject) => {
      const { controlSocket: socketPath } = this.info
      const request = http.request({ socketPath, method, path, timeout: TIMEOUT_MS }, async (response) => {
        try {
          const text = Buffer.concat(await Array.fromAsync(response)).toString()
          resolve((text === '' ? undefined : JSON.parse(text)) as T)
        } catch (error) {
          reject(error)
        }
      })
      request.on('error', reject)
      request.on('timeout', () => request.destroy(new Error('the test internet does not answer')))
      request.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }
}
