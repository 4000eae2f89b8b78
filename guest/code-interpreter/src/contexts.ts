import { stat } from 'node:fs/promises'
import { totalmem } from 'node:os'
import { Context } from './context.ts'
import { KernelEnded } from './kernel/kernel.ts'
import { installedKernels } from './kernel/kernelspec.ts'
import { Lane } from './lane.ts'
import { type Language, languageOf } from './language.ts'
import { Refusal } from './refusal.ts'

export const DEFAULT_CWD = '/home/user'
/** Assumed memory of a kernel: that of Python with a few imported modules. */
const KERNEL_BYTES = 96 * 1024 * 1024
const MIN_CONTEXTS = 4
const PARALLEL_STARTS = 2
const DIED_WITH_SERVICE =
  'was ended with the service that held it, which died: most likely the sandbox had no memory left'

/** All contexts of this sandbox: the default one of each used language, and those that clients created. */
export class Contexts {
  readonly #all = new Map<string, Context>()
  readonly #defaults = new Map<string, Promise<Context>>()
  readonly #maxContexts = Math.max(MIN_CONTEXTS, Math.floor(totalmem() / KERNEL_BYTES))
  readonly #starts = new Lane(this.#maxContexts, PARALLEL_STARTS)
  readonly #lost: Set<string>

  /** @param lost languages whose kernels an earlier service had when it died */
  constructor(lost = new Set<string>()) {
    this.#lost = lost
  }

  list(): Context[] {
    return [...this.#all.values()]
  }

  /** @throws Refusal 404 for an unknown context */
  get(id: string): Context {
    const context = this.#all.get(id)
    if (!context)
      throw new Refusal(404, `There is no context ${JSON.stringify(id)}; GET /contexts lists all contexts`)
    return context
  }

  /** Returns the default context of a language, which is created at the first use. */
  async defaultOf(languageName: string): Promise<Context> {
    const language = languageOf(languageName)
    const existing = this.#defaults.get(language.name)
    if (existing) return existing
    const made = this.#make(
      language,
      DEFAULT_CWD,
      this.#lost.delete(language.name) ? DIED_WITH_SERVICE : undefined,
    )
    this.#defaults.set(language.name, made)
    made.catch(() => this.#defaults.delete(language.name))
    return made
  }

  /** Prepares the default context of a language for its first execution, unless it was already used. */
  async touch(languageName: string): Promise<void> {
    await (await this.#defaults.get(languageName))?.touch()
  }

  /** @throws Refusal when the language has no kernel, `cwd` is not a folder, or too many contexts exist */
  async create(languageName: string, cwd: string): Promise<Context> {
    const isFolder = await stat(cwd).then(
      (stats) => stats.isDirectory(),
      () => false,
    )
    if (!cwd.startsWith('/') || !isFolder) {
      throw new Refusal(400, `cwd ${JSON.stringify(cwd)} must be the absolute path of a folder that exists`)
    }
    return this.#make(languageOf(languageName), cwd)
  }

  async remove(id: string): Promise<void> {
    const context = this.get(id)
    this.#all.delete(id)
    for (const [language, made] of this.#defaults) {
      if ((await made.catch(() => undefined)) === context) this.#defaults.delete(language)
    }
    await context.close()
  }

  async #make(language: Language, cwd: string, loss?: string): Promise<Context> {
    const kernels = await installedKernels()
    const name = language.kernels.find((kernel) => kernels.has(kernel))
    if (name === undefined) {
      throw new Refusal(
        400,
        `Language ${JSON.stringify(language.name)} has no kernel in this sandbox: ${language.install}`,
      )
    }
    if (this.#all.size >= this.#maxContexts) {
      throw new Refusal(
        429,
        `There are ${this.#all.size} contexts, and this sandbox has memory for ${this.#maxContexts}; remove one first`,
      )
    }
    const context = new Context(language, cwd, kernels.get(name)!, this.#starts, loss)
    this.#all.set(context.id, context)
    try {
      await context.start()
    } catch (error) {
      this.#all.delete(context.id)
      if (error instanceof KernelEnded) {
        throw new Refusal(500, `The ${language.name} kernel did not start: it ${error.message}`)
      }
      throw error
    }
    return context
  }
}
