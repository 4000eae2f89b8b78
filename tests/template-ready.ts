import { setTimeout as delay } from 'node:timers/promises'

const POLL_MS = 1_000

/** Waits until sandboxes can be started from a template of the catalogue. @param env of the server @throws when its build failed */
export async function waitForTemplateOf(
  { E2B_API_URL, E2B_API_KEY }: Record<string, string>,
  name: string,
  timeoutMs: number,
): Promise<void> {
  const deadline = Date.now() + timeoutMs
  let said = ''
  while (Date.now() < deadline) {
    const response = await fetch(`${E2B_API_URL}/v2/sandboxes`, {
      method: 'POST',
      headers: { 'x-api-key': E2B_API_KEY!, 'content-type': 'application/json' },
      body: JSON.stringify({ templateID: name, timeout: 15 }),
      signal: AbortSignal.timeout(60_000),
    })
    const answer = (await response.json()) as { sandboxID?: string; message?: string }
    if (response.ok) {
      await fetch(`${E2B_API_URL}/sandboxes/${answer.sandboxID}`, {
        method: 'DELETE',
        headers: { 'x-api-key': E2B_API_KEY! },
      })
      return
    }
    said = answer.message ?? String(response.status)
    if (response.status !== 409 || said.includes('failed')) break
    await delay(POLL_MS)
  }
  throw new Error(`template '${name}' did not get ready: ${said}`)
}
