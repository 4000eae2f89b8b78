/** The SDK is the heaviest part of every command that talks to a server: it is read when it is needed. */
export const importSdk = () => import('e2b')

export type Sdk = Awaited<ReturnType<typeof importSdk>>
