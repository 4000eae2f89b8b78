import { basename } from 'node:path'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/**
 * Templates of the catalogue that a suite's server builds, in this order. Quick ones come first, so that their tests run
 * while the others are built. No template is in two suites: a build takes up to nine minutes.
 */
export const BUILD_ORDER: Record<string, string[]> = {
  agents: ['amp', 'claude', 'codex', 'opencode', 'openclaw'],
  catalogue: ['mcp-gateway', 'docker', 'desktop', 'code-interpreter-v1'],
}

/** The build that a test file waits for, as a position in the order of its suite. */
export function buildPosition(suite: string, file: string): number {
  const order = BUILD_ORDER[suite] ?? []
  // the examples need all agents
  if (basename(file) === 'examples.test.ts') return order.length
  return order.findIndex((name) => basename(file).startsWith(name.replace(/-v\d+$/, '')))
}

/** Sorts the files of suites whose server builds templates by the builds that they wait for, all others as vitest does. */
export class FileOrder extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const waits = ({ project }: TestSpecification) => project.name in BUILD_ORDER
    const position = ({ project, moduleId }: TestSpecification) => buildPosition(project.name, moduleId)
    const waiting = sorted.filter(waits).sort((a, b) => position(a) - position(b))
    return [...sorted.filter((file) => !waits(file)), ...waiting]
  }
}
