import { writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import type { Reporter, TestModule } from 'vitest/node'

/** Time of one test file: imports, hooks and tests. */
export interface FileTime {
  seconds: number
  suite: string
  file: string
}

/** Where the reporter writes the times, as JSON. */
export const FILE_TIMES_VARIABLE = 'SANDLOT_FILE_TIMES'

/** A reporter of vitest that records how long each file took, its hooks included (the JSON report leaves them out). */
export default class FileTimesReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const path = process.env[FILE_TIMES_VARIABLE]
    if (!path) return
    const times = modules.map((module): FileTime => {
      const { duration, collectDuration, setupDuration } = module.diagnostic()
      return {
        seconds: (duration + collectDuration + setupDuration) / 1000,
        suite: module.project.name,
        file: relative(process.cwd(), module.moduleId),
      }
    })
    writeFileSync(path, JSON.stringify(times))
  }
}

/** A table of the files that took longest, slowest first. */
export const slowestFiles = (times: readonly FileTime[], count: number): string =>
  [...times]
    .sort((a, b) => b.seconds - a.seconds)
    .slice(0, count)
    .map(({ seconds, suite, file }) => `${seconds.toFixed(1).padStart(8)} s  ${suite.padEnd(12)} ${file}`)
    .join('\n')
