// The command `mcp-gateway`. What a command does not need is not loaded.
import { parseArgs } from 'node:util'
import { placesOf } from './places.ts'
import { Refusal, reasonOf } from './refusal.ts'

const USAGE = `mcp-gateway --config '<json>' [--strict]   start the gateway with these servers
mcp-gateway pull <server>…                 install servers ahead, for example in a template
mcp-gateway map <server> -- <command>      say what runs a server, or at which URL it is
mcp-gateway list                           show the servers that there are, and their options (* required)
mcp-gateway status | logs                  show what the gateway does, and what it did
mcp-gateway token rotate                   replace the token, and print the new one`

const places = placesOf(process.env)

async function run(): Promise<{ lines: string[]; isAdvice?: boolean }> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      config: { type: 'string' },
      strict: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  })
  const [command, ...rest] = positionals
  if (values.help) return { lines: [USAGE] }
  if (values.config !== undefined) {
    const { start } = await import('./commands/start.ts')
    return { lines: await start(values.config, values.strict === true, places), isAdvice: true }
  }
  switch (command) {
    case 'pull':
      return { lines: await (await import('./commands/pull.ts')).pull(rest, places) }
    case 'map':
      return { lines: (await import('./commands/map.ts')).map(rest[0], rest.slice(1), places) }
    case 'list':
      return { lines: (await import('./commands/list.ts')).list(places) }
    case 'status':
      return { lines: await (await import('./commands/status.ts')).status(places) }
    case 'logs':
      return { lines: (await import('./commands/logs.ts')).logs(places) }
    case 'token':
      if (rest[0] !== 'rotate') break
      return { lines: await (await import('./commands/token.ts')).rotateToken(places) }
  }
  throw new Refusal(USAGE)
}

if (process.argv[2] === 'daemon' && process.send) {
  const { runDaemon } = await import('./daemon.ts')
  process.once('message', (order) =>
    runDaemon(order as never, (report) => {
      // whoever started it may not wait any more
      if (process.connected) process.send!(report, () => process.disconnect?.())
    }),
  )
} else {
  try {
    const { lines, isAdvice } = await run()
    // the SDKs show what is on standard error if the command fails
    const stream = isAdvice ? process.stderr : process.stdout
    for (const line of lines) stream.write(`${line}\n`)
  } catch (error) {
    process.stderr.write(`${error instanceof Refusal ? error.message : reasonOf(error)}\n`)
    process.exitCode = 1
  }
}
