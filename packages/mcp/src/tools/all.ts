import { runCode } from './code.ts'
import { runCommand } from './commands.ts'
import { listFiles, readFile, viewImage, writeFile } from './files.ts'
import { getPortUrl } from './ports.ts'
import { createSandbox, getSandbox, killSandbox, listSandboxes, setSandboxTimeout } from './sandboxes.ts'
import {
  checkpointSandbox,
  forkSandbox,
  listCheckpoints,
  pauseSandbox,
  resumeSandbox,
  rollbackSandbox,
} from './states.ts'
import { listTemplates } from './templates.ts'
import type { Tool } from './tool.ts'

/** All tools, in the order in which clients list them. */
export const TOOLS: readonly Tool[] = [
  createSandbox,
  ...[runCommand, runCode],
  ...[readFile, writeFile, listFiles, viewImage],
  getPortUrl,
  ...[listSandboxes, getSandbox, setSandboxTimeout, listTemplates],
  ...[checkpointSandbox, listCheckpoints, rollbackSandbox, forkSandbox],
  ...[pauseSandbox, resumeSandbox, killSandbox],
]
