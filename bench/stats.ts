import { readFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'

export interface Summary {
  n: number
  min: number
  p50: number
  p95: number
  p99: number
  max: number
}

/** Percentiles by nearest rank, rounded to a hundredth. */
export function summarize(values: number[]): Summary {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share: number) =>
    round(sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN)
  return { n: sorted.length, min: at(0.0001), p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) }
}

export const round = (value: number): number => Math.round(value * 100) / 100

export async function timed<T>(work: () => Promise<T>): Promise<[T, number]> {
  const started = performance.now()
  const result = await work()
  return [result, performance.now() - started]
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

export const machine = () => ({
  date: new Date().toISOString(),
  cpu: cpus()[0]?.model,
  cores: cpus().length,
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  kernel: release(),
  node: process.version,
  loadAverage: readFileSync('/proc/loadavg', 'utf8').split(' ').slice(0, 3).join(' '),
})

/** Prints a line for each measure, or everything as JSON with `--json`. */
export function report(name: string, results: Record<string, unknown>): void {
  const full = { bench: name, machine: machine(), results }
  if (process.argv.includes('--json')) {
    console.log(JSON.stringify(full, null, 2))
    return
  }
  console.log(`${name}  (${full.machine.cores} cores, load ${full.machine.loadAverage})`)
  for (const [key, value] of Object.entries(results))
    console.log(`  ${key.padEnd(44)} ${JSON.stringify(value)}`)
}
