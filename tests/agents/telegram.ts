import type { Sandbox } from 'e2b-official'
import { BOT_RECORD, BOT_URL } from './with-model.ts'

/** Sends a message to the bot as the bot's user. */
export async function say({ commands }: Sandbox, text: string): Promise<void> {
  await commands.run(`curl -sf -d '${text}' ${BOT_URL}/say`)
}

/** Messages of the bot to its user so far. */
export async function replies({ files }: Sandbox): Promise<string[]> {
  const calls = (await files.read(BOT_RECORD)).trim().split('\n')
  return calls
    .map((line) => JSON.parse(line) as { method: string; parameters: { text?: string } })
    .filter(({ method }) => method === 'sendMessage' || method === 'editMessageText')
    .map(({ parameters }) => String(parameters.text))
}

/** The code that the bot has answered with, for `openclaw pairing approve`. */
export const pairingCode = (texts: string[]): string | undefined =>
  texts.map((text) => /pairing approve telegram ([A-Z0-9]{8})/.exec(text)?.[1]).find(Boolean)
