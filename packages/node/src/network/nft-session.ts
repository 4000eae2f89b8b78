import { type ChildProcess, spawn } from 'node:child_process'

const COMMAND_TIMEOUT_MS = 5_000
const MAX_ANSWER_BYTES = 16 * 2 ** 20
/**
 * Commands after which another process takes over: `nft -i` keeps every line and walks through all of them at each command,
 * which took 0.6 ms of processor time at first and 3.3 ms after 10,000 (nft 1.0.6).
 */
const MAX_COMMANDS = 1_000
/** Number of ids of ended processes that are remembered; the monitor reports their changes within moments. */
const MAX_FORMER_PIDS = 16
/** Command that prints one line without calling the kernel; when the line arrives, all earlier commands are done. */
const MARKER_COMMAND = 'describe meta mark'
const MARKER = /^meta expression, datatype mark\b.*\n/m

/** nft has rejected a command; the message is nft's own. */
export class NftRefusal extends Error {}

interface Running {
  resolve: (answer: string) => void
  reject: (error: Error) => void
  timer: NodeJS.Timeout
}

export interface NftSessionOptions {
  /** Whether listings leave out the elements of sets and maps, which nft then does not read at all. Default false. */
  isTerse?: boolean
  /** Default 1,000. */
  maxCommands?: number
}

/**
 * Keeps an `nft -i` running: a change costs a line (about 0.5 ms of processor time) instead of a process (about 10 ms).
 * Commands run one after the other, and errors arrive in order with answers because both use one pipe.
 */
export class NftSession {
  #child: ChildProcess | undefined
  #output = ''
  #running: Running | undefined
  #last: Promise<unknown> = Promise.resolve()
  #isClosed = false
  readonly #flags: string
  readonly #maxCommands: number
  #commandCount = 0
  /** The newest last. */
  readonly #formerPids: number[] = []

  constructor({ isTerse = false, maxCommands = MAX_COMMANDS }: NftSessionOptions = {}) {
    this.#flags = isTerse ? '-t -i' : '-i'
    this.#maxCommands = maxCommands
  }

  /** @returns what nft printed @throws NftRefusal; any other Error when the session is broken and the outcome unknown */
  run(commands: string): Promise<string> {
    const next = this.#last.then(() => this.#run(commands))
    this.#last = next.catch(() => {})
    return next
  }

  /** Pid of the process that makes the changes. */
  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Whether a process makes changes for this session, or was one of the last that did. */
  isOwn(pid: number): boolean {
    return pid === this.pid || this.#formerPids.includes(pid)
  }

  close(): void {
    this.#isClosed = true
    this.#child?.stdin?.end()
    this.#end(new Error('the nft session was closed'))
  }

  #run(commands: string): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) throw new Error('the nft session was closed')
      const child = (this.#child ??= this.#spawn())
      const timer = setTimeout(
        () => this.#end(new Error(`nft did not answer in ${COMMAND_TIMEOUT_MS} ms`)),
        COMMAND_TIMEOUT_MS,
      )
      this.#running = { resolve, reject, timer }
      child.stdin?.write(`${commands}\n${MARKER_COMMAND}\n`)
    })
  }

  #spawn(): ChildProcess {
    const child = spawn('sh', ['-c', `exec nft ${this.#flags} 2>&1`], {
      stdio: ['pipe', 'pipe', 'ignore'],
      // Ctrl-C must only reach the server, which drains first
      detached: true,
      // nft reads `.nft.history` at its start and adds all commands to it at its end, and is slower the longer it is
      env: { ...process.env, HOME: '/dev/null' },
    })
    const lost = (error: Error) => {
      if (this.#child === child) this.#end(error)
    }
    child.once('error', lost)
    child.once('exit', (code, signal) => lost(new Error(`nft -i ended (${code ?? signal})`)))
    child.stdin!.on('error', lost)
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      if (this.#child === child) this.#onOutput(text)
    })
    // the process ends with its input, and must not keep the server alive
    child.unref()
    for (const stream of [child.stdin, child.stdout]) (stream as unknown as { unref(): void }).unref()
    return child
  }

  #onOutput(text: string): void {
    this.#output += text
    if (this.#output.length > MAX_ANSWER_BYTES) {
      this.#end(new Error(`nft answered with more than ${MAX_ANSWER_BYTES} bytes`))
      return
    }
    const marker = MARKER.exec(this.#output)
    if (!marker) return
    const answer = this.#output.slice(0, marker.index)
    this.#output = this.#output.slice(marker.index + marker[0].length)
    const running = this.#settle()
    if (++this.#commandCount >= this.#maxCommands) this.#replace()
    const refusal = /^(?:nft> )?.*\bError: /m.test(answer)
    if (refusal) running?.reject(new NftRefusal(answer.trim()))
    else running?.resolve(answer)
  }

  /** Starts the next process at once, so that the next command need not wait for it. Nothing may be running. */
  #replace(): void {
    const former = this.#child
    this.#forget()
    former?.stdin?.end()
    this.#child = this.#spawn()
  }

  #forget(): void {
    if (this.pid !== undefined) this.#formerPids.push(this.pid)
    if (this.#formerPids.length > MAX_FORMER_PIDS) this.#formerPids.shift()
    this.#child = undefined
    this.#output = ''
    this.#commandCount = 0
  }

  #settle(): Running | undefined {
    const running = this.#running
    this.#running = undefined
    clearTimeout(running?.timer)
    return running
  }

  #end(error: Error): void {
    this.#child?.kill('SIGKILL')
    this.#forget()
    this.#settle()?.reject(error)
  }
}
