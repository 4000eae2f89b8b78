import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { AUTHORITIES_FILE, authoritiesVersion, isForAuthorities } from './authorities.ts'
import { Kernel, KernelEnded } from './kernel/kernel.ts'
import type { Kernelspec } from './kernel/kernelspec.ts'
import { Lane } from './lane.ts'
import type { Language } from './language.ts'
import { errorLine, linesOf, type OutputLine, textLines } from './output.ts'
import type { OutputStream } from './output-stream.ts'
import { Refusal } from './refusal.ts'
import { sandboxEnvironment } from './sandbox-environment.ts'
import { ValueDisplay } from './value-display.ts'

const WAITING_LIMIT = 64
/** Default locale; without one R supports only ASCII. */
const DEFAULT_LANG = 'C.UTF-8'
const INTERRUPT_INTERVAL_MS = 1000
/** Number of interrupts before the kernel of code that does not stop is killed. */
const INTERRUPT_ATTEMPTS = 10

export interface Execution {
  code: string
  /** Variables for this execution only. */
  envVars: Record<string, string>
  /** Current variables of the sandbox. */
  sandboxEnv: Record<string, string>
}

/** A kernel and its state, under an id that outlives the kernel. */
export class Context {
  readonly id = randomUUID()
  readonly language: Language
  readonly cwd: string
  readonly #spec: Kernelspec
  readonly #starts: Lane
  readonly #lane = new Lane(WAITING_LIMIT)
  #kernel: Promise<Kernel> | undefined
  /** How the last kernel ended, until an execution has reported the loss of state. */
  #loss: string | undefined
  #appliedEnv: Record<string, string> = {}
  /** Version of the authorities that the kernel's processes find, as of the kernel's start or a later `trust`. */
  #trusted: string | undefined
  #isUsed = false

  /**
   * @param starts lane for starts, shared by all contexts, because kernels that start concurrently only slow each other
   * down
   * @param loss how a kernel with state of this context ended, which the next execution reports
   */
  constructor(language: Language, cwd: string, spec: Kernelspec, starts: Lane, loss?: string) {
    this.language = language
    this.cwd = cwd
    this.#spec = spec
    this.#starts = starts
    this.#loss = loss
  }

  /**
   * Starts the kernel now. A kernel whose environment cannot be changed later is started by its first execution, which
   * knows the sandbox's variables: they cannot be read without the access token.
   */
  async start(): Promise<void> {
    if (this.language.environment) await this.#started({})
  }

  /** Runs code after all earlier executions, and writes the output. Ends early when the reader disconnects. */
  async execute(execution: Execution, output: OutputStream): Promise<void> {
    this.#isUsed = true
    const { environment } = this.language
    const { envVars, sandboxEnv } = execution
    const hasOwnEnv = Object.keys(envVars).length > 0
    if (hasOwnEnv && !environment) {
      throw new Refusal(
        400,
        `env_vars cannot be set for one execution in ${this.language.name}, whose processes cannot change their environment; set them when the sandbox is created`,
      )
    }
    await this.#lane.run(output.readerGone, async () => {
      if (this.#loss !== undefined) return output.write(this.#tellLoss(this.#loss))
      const kernel = await this.#started(sandboxEnv)
      try {
        await this.#applyEnv(kernel, sandboxEnv)
        await this.#applyTrust(kernel)
        if (hasOwnEnv) await kernel.run({ code: environment!.enter(envVars), isSilent: true })
        await this.#run(kernel, execution.code, output)
        if (hasOwnEnv) await kernel.run({ code: environment!.leave(envVars), isSilent: true })
      } catch (error) {
        if (!(error instanceof KernelEnded)) throw error
        this.#kernel = undefined
        if (output.readerGone.aborted) this.#loss = error.message
        else output.write(this.#tellLoss(error.message))
      }
    })
  }

  /** Runs code silently, without counting an execution. */
  async runSilently(code: string): Promise<void> {
    const kernel = await this.#started({})
    const reply = await this.#lane.run(new AbortController().signal, () =>
      kernel.run({ code, isSilent: true }),
    )
    if (reply.status !== 'ok') throw new Error(`${reply.ename}: ${reply.evalue}`)
  }

  /** Loads the parts of service and kernel that an execution needs. Does nothing once the context has been used. */
  async touch(): Promise<void> {
    const { touch } = this.language
    if (this.#isUsed || !touch) return
    await sandboxEnvironment(undefined).catch(() => {})
    await this.runSilently(touch)
  }

  /** Ends the running code and restarts without any state. */
  async restart(): Promise<void> {
    await this.close('was restarted on request')
    this.#loss = undefined
    await this.start()
  }

  async close(reason = 'was removed on request'): Promise<void> {
    const kernel = this.#kernel
    this.#kernel = undefined
    await (await kernel?.catch(() => undefined))?.kill(reason)
  }

  #started(sandboxEnv: Record<string, string>): Promise<Kernel> {
    if (this.#kernel) return this.#kernel
    const kernel = this.#starts.run(new AbortController().signal, async () => {
      const env = { LANG: DEFAULT_LANG, ...process.env, ...sandboxEnv }
      this.#trusted = await authoritiesVersion()
      const started = await Kernel.start(this.language.name, this.#spec, this.cwd, env)
      if (this.language.prelude) await started.run({ code: this.language.prelude, isSilent: true })
      return started
    })
    this.#kernel = kernel
    this.#appliedEnv = this.language.environment ? {} : sandboxEnv
    kernel.then(
      async (started) => {
        const how = await started.ended
        if (this.#kernel !== kernel) return
        this.#kernel = undefined
        this.#loss = how
      },
      () => {
        if (this.#kernel === kernel) this.#kernel = undefined
      },
    )
    return kernel
  }

  async #run(kernel: Kernel, code: string, output: OutputStream): Promise<void> {
    if (output.readerGone.aborted) return
    const finished = new AbortController()
    const stop = () => void this.#stop(kernel, finished.signal)
    output.readerGone.addEventListener('abort', stop, { once: true })
    let isWhole = false
    const display = this.language.showsValues ? new ValueDisplay((line) => output.write(line)) : undefined
    const write = (line: OutputLine) => (display ?? output).write(line)
    try {
      let isErrorTold = false
      const reply = await output.pacing(kernel, () =>
        kernel.run({
          code,
          onMessage: (message) => {
            isErrorTold ||= message.header.msg_type === 'error'
            for (const line of linesOf(message)) write(line)
          },
          onText: (stream, text) => {
            for (const line of textLines(stream, text)) write(line)
          },
        }),
      )
      if (reply.status === 'error' && !isErrorTold)
        write(errorLine({ ...reply, ...this.language.explain?.(code) }))
      isWhole = reply.status === 'ok'
    } finally {
      display?.end(isWhole)
      finished.abort()
      output.readerGone.removeEventListener('abort', stop)
    }
  }

  /** Interrupts repeatedly, as an interrupt before the code has started is lost. */
  async #stop(kernel: Kernel, finished: AbortSignal): Promise<void> {
    try {
      for (let attempt = 0; attempt < INTERRUPT_ATTEMPTS; attempt += 1) {
        await kernel.interrupt()
        await sleep(INTERRUPT_INTERVAL_MS, undefined, { signal: finished })
      }
      await kernel.kill(
        `was killed, because its code did not stop within ${(INTERRUPT_ATTEMPTS * INTERRUPT_INTERVAL_MS) / 1000} s after its client went away`,
      )
    } catch (error) {
      if (!finished.aborted) throw error
    }
  }

  async #applyEnv(kernel: Kernel, sandboxEnv: Record<string, string>): Promise<void> {
    const { environment } = this.language
    if (!environment) return
    const names = new Set([...Object.keys(this.#appliedEnv), ...Object.keys(sandboxEnv)])
    const changed = [...names].filter((name) => this.#appliedEnv[name] !== sandboxEnv[name])
    if (changed.length === 0) return
    // code of the user may have set a variable that appears with the first rule for headers
    const isAdded = (name: string) => isForAuthorities(sandboxEnv[name]) && !(name in this.#appliedEnv)
    const added = changed.filter(isAdded).map((name) => [name, sandboxEnv[name]!])
    const others = changed.filter((name) => !isAdded(name)).map((name) => [name, sandboxEnv[name]])
    if (added.length > 0)
      await kernel.run({ code: environment.add(Object.fromEntries(added)), isSilent: true })
    if (others.length > 0)
      await kernel.run({ code: environment.change(Object.fromEntries(others)), isSilent: true })
    this.#appliedEnv = sandboxEnv
  }

  /** Lets a kernel that runs since before the first rule for headers trust what it meets now. */
  async #applyTrust(kernel: Kernel): Promise<void> {
    const { trust } = this.language
    if (!trust) return
    const version = await authoritiesVersion()
    if (version === undefined || version === this.#trusted) return
    this.#trusted = version
    await kernel.run({ code: trust(AUTHORITIES_FILE), isSilent: true })
  }

  #tellLoss(how: string): OutputLine {
    this.#loss = undefined
    return errorLine({
      ename: 'KernelDied',
      evalue: `the ${this.language.name} kernel of context ${this.id} ${how}. Its variables are gone; the next execution starts a new one`,
    })
  }
}
