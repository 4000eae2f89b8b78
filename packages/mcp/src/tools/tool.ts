import { z } from 'zod'
import type { Connection } from '../connection.ts'

/** A picture of a result, which clients show and models see. */
export interface Picture {
  /** Base64. */
  data: string
  mimeType: string
}

export interface CallContext {
  connection: Connection
  /** Aborted when the client cancels the call or goes away. */
  signal: AbortSignal
  /** Shows the client the last line of a program's output. Reports that follow each other closely are left out. */
  progress(output: string): void
}

/** What a model needs to know beside name and schemas; hints as MCP defines them. */
export interface Hints {
  /** Changes nothing. */
  readOnly?: boolean
  /** May lose data. @default false */
  destructive?: boolean
  /** A second call with these arguments changes nothing more. @default false */
  idempotent?: boolean
  /** Runs programs that may reach the internet. @default false */
  openWorld?: boolean
}

type Shape = Record<string, z.ZodType>

export interface Tool {
  name: string
  title: string
  description: string
  hints: Hints
  input: z.ZodObject
  /** Undefined: the answer is pictures and text only. */
  output: z.ZodObject | undefined
  run(input: Record<string, unknown>, context: CallContext): Promise<ToolAnswer>
}

export interface ToolAnswer {
  /** The result by the output schema. */
  result?: Record<string, unknown>
  /** Text instead of `result` as JSON. */
  text?: string
  pictures?: Picture[]
}

interface Definition<In extends Shape, Out extends Shape | undefined>
  extends Pick<Tool, 'name' | 'title' | 'description' | 'hints'> {
  input: In
  output: Out
  run(
    input: z.output<z.ZodObject<In>>,
    context: CallContext,
  ): Promise<
    Out extends Shape
      ? z.input<z.ZodObject<Out>> | (ToolAnswer & { result: z.input<z.ZodObject<Out>> })
      : ToolAnswer
  >
}

/** Defines a tool with schemas that its function is checked against. */
export function defineTool<In extends Shape, Out extends Shape | undefined>(
  definition: Definition<In, Out>,
): Tool {
  const { input, output, run, ...rest } = definition
  return {
    ...rest,
    description: rest.description.trim(),
    input: z.strictObject(input),
    output: output && z.object(output),
    run: async (given, context) => {
      const answer = (await run(given as never, context)) as Record<string, unknown>
      return output && !('result' in answer && typeof answer.result === 'object')
        ? { result: answer }
        : (answer as ToolAnswer)
    },
  }
}

export const sandboxId = z
  .string()
  .max(100)
  // a part of the paths of requests, where '..' would lead to other routes
  .regex(/^[\w-]+$/, 'an id has letters, digits, - and _')
  .describe('Id of the sandbox, as create_sandbox and list_sandboxes return it.')

/** @param defaultSeconds used when the model gives none */
export const callSeconds = (defaultSeconds: number) =>
  z
    .number()
    .int()
    .min(1)
    .max(3600)
    .default(defaultSeconds)
    .describe(`Longest run time in seconds, 1 to 3600. Default ${defaultSeconds}.`)

export const lifeSeconds = z
  .number()
  .int()
  .min(15)
  .max(86_400)
  .describe('Time to live in seconds from now, 15 to 86400.')
