/**
 * A model that follows a script: given a task, it creates a file with a tool of the agent; given the tool's result, it
 * ends with a text. Contains what the protocols around it (`anthropic-messages.ts`, `openai-responses.ts`, `openai-chat.ts`) have in common.
 */

export type JsonSchema = { [keyword: string]: unknown }

export interface Tool {
  name: string
  /** Tools of OpenAI may be grouped in namespaces. */
  namespace?: string
  /** Schema of its arguments. A tool without takes free text. */
  schema?: JsonSchema
  description?: string
}

export type Item =
  | { kind: 'text'; role: 'user' | 'assistant'; text: string }
  | { kind: 'call' }
  | { kind: 'result'; text: string }

/** A request of any protocol, reduced to what the script needs. */
export interface Conversation {
  items: Item[]
  tools: Tool[]
  /** The client demands a call of some tool. */
  mustCall: boolean
  /** The client demands JSON of this schema instead of text. */
  schema?: JsonSchema
}

export type Answer =
  | { kind: 'text'; text: string }
  | { kind: 'call'; tool: Tool; arguments: Record<string, unknown> | string }

/** The argument that takes the command line, as agents call it. */
const COMMAND_PROPERTIES = ['command', 'cmd'] as const
/** Arguments beside it that agents demand. */
const REST: Record<string, unknown> = {
  description: 'Creates a file',
  explanation: 'Creates a file',
  timeout: 60_000,
}

/** A line of a task that dictates a call. */
const DICTATED = /^call (\w+) (\{.*\})$/m

/** Name of the file that the n-th call of a conversation creates, n from 1. */
export const createdFile = (n: number): string => `created-${n}.txt`

/** The new file, and a line in one that a repository already has: `git diff` shows the latter. */
export const commandOf = (n: number): string =>
  `echo 'written by call ${n}' > ${createdFile(n)}; echo 'See ${createdFile(n)}' >> README.md; ls`

/**
 * What the model says next.
 * @example answer({ items: [{ kind: 'text', role: 'user', text: 'Add a file' }], tools: [], mustCall: false })
 */
export function answer({ items, tools, mustCall, schema }: Conversation): Answer {
  const dictated = dictatedCall(items, tools)
  if (dictated) return dictated
  const result = resultAtEnd(items)
  const shell = tools.map(asShell).find((call) => call !== undefined)
  if (shell && (mustCall || !result)) {
    const n = items.filter((item) => item.kind === 'call').length + 1
    return { kind: 'call', tool: shell.tool, arguments: shell.argumentsFor(commandOf(n)) }
  }
  if (schema) return { kind: 'text', text: JSON.stringify(instanceOf(schema)) }
  return { kind: 'text', text: result ? `Done. The tool answered: ${result.text}` : 'Understood.' }
}

/**
 * The next call of a task that dictates its calls, each on a line like `call run_command {"command": "ls"}`; tools of MCP
 * servers are found by their own name. `<sandbox_id>` stands for the id in the latest result that has one.
 */
function dictatedCall(items: Item[], tools: Tool[]): Answer | undefined {
  const isTask = (item: Item) => item.kind === 'text' && item.role === 'user' && DICTATED.test(item.text)
  const at = items.findLastIndex(isTask)
  if (at < 0) return undefined
  const lines = (items[at] as { text: string }).text.split('\n').flatMap((line) => DICTATED.exec(line) ?? [])
  const [, name, json] = lines.slice(3 * items.slice(at).filter(({ kind }) => kind === 'call').length)
  const tool = tools.find((each) => each.name === name || each.name.endsWith(`__${name}`))
  if (!tool) return undefined
  const results = items.flatMap((item) => (item.kind === 'result' ? [item.text] : [])).reverse()
  const id = results.map((text) => /"sandbox_id":\s*"(\w+)"/.exec(text)?.[1]).find(Boolean)
  return { kind: 'call', tool, arguments: JSON.parse(json!.replaceAll('<sandbox_id>', id ?? 'unknown')) }
}

/** The tool result that the model has not answered yet. OpenClaw appends words of its own, in the user's name. */
function resultAtEnd(items: Item[]): Extract<Item, { kind: 'result' }> | undefined {
  const last = items.findLast((item) => item.kind !== 'text' || item.role === 'assistant')
  return last?.kind === 'result' ? last : undefined
}

interface Shell {
  tool: Tool
  argumentsFor: (command: string) => Record<string, unknown> | string
}

/** Arguments that make the tool run a command line; undefined when the tool cannot. */
function asShell(tool: Tool): Shell | undefined {
  if (!/bash|shell|exec/i.test(tool.name)) return undefined
  if (!tool.schema)
    // Codex' code mode: the model writes JavaScript that calls the tools
    return tool.description?.includes('tools.exec_command')
      ? { tool, argumentsFor: (cmd) => `text(await tools.exec_command(${JSON.stringify({ cmd })}))` }
      : undefined
  const properties = (tool.schema.properties ?? {}) as Record<string, JsonSchema>
  const name = COMMAND_PROPERTIES.find((property) => property in properties)
  if (!name) return undefined
  const isList = properties[name]?.type === 'array'
  const required = (tool.schema.required ?? []) as string[]
  const rest = required.map((property) => [
    property,
    REST[property] ?? instanceOf(properties[property] ?? {}),
  ])
  return {
    tool,
    argumentsFor: (command) => ({
      ...Object.fromEntries(rest),
      [name]: isList ? ['bash', '-lc', command] : command,
    }),
  }
}

/** The smallest value that a JSON Schema of the common keywords accepts. */
export function instanceOf(schema: JsonSchema): unknown {
  if ('const' in schema) return schema.const
  if (Array.isArray(schema.enum)) return schema.enum[0]
  for (const keyword of ['anyOf', 'oneOf'])
    if (Array.isArray(schema[keyword])) return instanceOf(schema[keyword][0] as JsonSchema)
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type
  switch (type) {
    case 'object': {
      const properties = (schema.properties ?? {}) as Record<string, JsonSchema>
      return Object.fromEntries(Object.entries(properties).map(([name, of]) => [name, instanceOf(of)]))
    }
    case 'array':
      return schema.items ? [instanceOf(schema.items as JsonSchema)] : []
    case 'number':
    case 'integer':
      return typeof schema.minimum === 'number' ? schema.minimum : 1
    case 'boolean':
      return true
    case 'null':
      return null
    default:
      return 'scripted'
  }
}

/** Splits text into pieces, as real models stream it: clients must join them. */
export function* pieces(text: string, size = 16): Generator<string> {
  for (let at = 0; at < text.length; at += size) yield text.slice(at, at + size)
}

/** A plausible count, so that usage is not zero: about four characters a token. */
export const countTokens = (text: string): number => Math.ceil(text.length / 4)
