import { SandlotError } from '@sandlot/protocol'
import type { AwsKeys, RegistryLogin } from '@sandlot/protocol/node'

const TIMEOUT_MS = 20_000
/** For example `us-gov-west-1`; it becomes part of a host name. */
const REGION = /^[a-z]{2,4}(?:-[a-z]{2,12}){1,3}-\d{1,2}$/

/** Returns name and password for a registry; those of ECR are valid for twelve hours and requested for each build. */
export async function passwordFor(login: RegistryLogin): Promise<{ username: string; password: string }> {
  if (!('awsAccessKeyId' in login)) return login
  const token = await authorizationToken(login)
  const [username, ...rest] = Buffer.from(token, 'base64').toString().split(':')
  return { username: username!, password: rest.join(':') }
}

/** @throws SandlotError invalid_request with the message of AWS */
async function authorizationToken({
  awsAccessKeyId,
  awsSecretAccessKey,
  awsRegion,
}: AwsKeys): Promise<string> {
  if (!REGION.test(awsRegion))
    throw new SandlotError(
      'invalid_request',
      `'${awsRegion.slice(0, 64)}' is not a region of AWS: write one like eu-central-1`,
    )
  // loaded on demand, because loading takes 0.2 s
  const { ECRClient, GetAuthorizationTokenCommand } = await import('@aws-sdk/client-ecr')
  const client = new ECRClient({
    region: awsRegion,
    credentials: { accessKeyId: awsAccessKeyId, secretAccessKey: awsSecretAccessKey },
    maxAttempts: 2,
  })
  try {
    const { authorizationData } = await client.send(new GetAuthorizationTokenCommand({}), {
      abortSignal: AbortSignal.timeout(TIMEOUT_MS),
    })
    const token = authorizationData?.[0]?.authorizationToken
    if (!token) throw new Error('the answer holds no token')
    return token
  } catch (cause) {
    const { name, message } = cause as Error
    throw new SandlotError(
      'invalid_request',
      `AWS ECR in region '${awsRegion.slice(0, 64)}' gave no password for access key '${awsAccessKeyId.slice(0, 4)}…': ${name}: ${message.slice(0, 300)}`,
      { cause },
    )
  } finally {
    client.destroy()
  }
}
