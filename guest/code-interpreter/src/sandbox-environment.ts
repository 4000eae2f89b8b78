import { Refusal } from './refusal.ts'

const ENVD_URL = 'http://127.0.0.1:49983/envs'
const TIMEOUT_MS = 5000

/**
 * Reads the sandbox's environment variables from envd, which also checks `accessToken`: a secure sandbox accepts only that
 * token, which cannot be read inside the sandbox. Read each time and never cached, as a sandbox from a snapshot of this one
 * has other variables and another token.
 *
 * @throws Refusal 401 when the sandbox is secure and the token is missing or wrong
 */
export async function sandboxEnvironment(accessToken: string | undefined): Promise<Record<string, string>> {
  const response = await fetch(ENVD_URL, {
    headers: accessToken === undefined ? {} : { 'X-Access-Token': accessToken },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  })
  if (response.status === 401) {
    throw new Refusal(
      401,
      "This sandbox is secure: the header X-Access-Token must have the sandbox's access token",
    )
  }
  if (!response.ok) throw new Refusal(500, `envd answered ${response.status} when asked for the environment`)
  return (await response.json()) as Record<string, string>
}
