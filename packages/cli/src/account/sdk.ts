/** Loads the SDK on first use, as it takes longest to load of all parts of a command. */
export const importSdk = () => import('e2b')

export type Sdk = Awaited<ReturnType<typeof importSdk>>
