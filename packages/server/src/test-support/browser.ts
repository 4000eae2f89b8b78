/** A request of a browser. */
export interface BrowserRequest {
  method: 'GET' | 'POST'
  url: URL
  headers: Record<string, string>
  body?: string
}

export interface BrowserAnswer {
  status: number
  setCookies: string[]
  location?: string
  headers: Record<string, string>
  text: string
}

/** The parts of a browser that the sign-in pages need: cookies, forms, and headers with the origin of a form. */
export class Browser {
  readonly cookies = new Map<string, string>()
  readonly #send: (request: BrowserRequest) => Promise<BrowserAnswer>
  #address: URL
  page!: BrowserAnswer

  constructor(origin: string, send: (request: BrowserRequest) => Promise<BrowserAnswer>) {
    this.#address = new URL(origin)
    this.#send = send
  }

  async open(url: string): Promise<BrowserAnswer> {
    return this.#load({ method: 'GET', url: new URL(url, this.#address), headers: {} })
  }

  /**
   * Fills in a form of the page and sends it.
   * @param mark selects the first form that contains this text. Default: the name of the first field
   */
  async submit(
    fields: Record<string, string>,
    headers: Record<string, string> = {},
    mark = `name="${Object.keys(fields)[0]}"`,
  ): Promise<BrowserAnswer> {
    const form = this.form(mark)
    return this.#load({
      method: 'POST',
      url: new URL(form.action, this.#address),
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        origin: this.#address.origin,
        'sec-fetch-site': 'same-origin',
        ...headers,
      },
      body: new URLSearchParams({ ...form.hidden, ...fields }).toString(),
    })
  }

  /** Follows the redirect of the last answer. */
  async follow(): Promise<BrowserAnswer> {
    return this.open(this.page.location!)
  }

  form(mark: string): { action: string; hidden: Record<string, string> } {
    const form = this.page.text.match(/<form.*?<\/form>/gs)?.find((text) => text.includes(mark))
    if (!form) throw new Error(`no form with ${mark} in: ${this.page.text}`)
    const hidden = form.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)">/g)
    return {
      action: /action="([^"]*)"/.exec(form)![1]!,
      hidden: Object.fromEntries([...hidden].map(([, name, value]) => [name, value])),
    }
  }

  async #load(request: BrowserRequest): Promise<BrowserAnswer> {
    this.#address = request.url
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    this.page = await this.#send({
      ...request,
      headers: { ...request.headers, ...(cookie ? { cookie } : {}) },
    })
    for (const setCookie of this.page.setCookies) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(setCookie)!
      if (value === '') this.cookies.delete(name!)
      else this.cookies.set(name!, value!)
    }
    return this.page
  }
}
