/** A published client that people have pinned. */
export interface PinnedClient {
  registry: 'npm' | 'PyPI'
  package: 'e2b' | 'code-interpreter'
  version: string
}

const all = (
  registry: PinnedClient['registry'],
  versions: string,
  name: PinnedClient['package'] = 'e2b',
): PinnedClient[] =>
  versions
    .trim()
    .split(/\s+/)
    .map((version) => ({ registry, package: name, version }))

/** The newest patch of each minor version that the registries serve, from 1.0 on. A new version is one word here. */
export const npmClients = all(
  'npm',
  `
  1.0.7 1.1.1 1.2.5 1.3.0 1.4.0 1.5.3 1.6.0 1.7.1 1.9.1 1.10.0 1.12.0 1.13.2
  2.0.3 2.1.5 2.2.10 2.3.4 2.4.2 2.5.0 2.6.4 2.7.0 2.8.4 2.9.1 2.10.4 2.11.1 2.12.1 2.13.1 2.14.1 2.15.0 2.16.0 2.18.0 2.19.5
  2.20.1 2.21.0 2.23.0 2.24.0 2.25.0 2.26.0 2.27.1 2.28.2 2.29.1 2.30.5 2.31.0 2.32.0 2.33.1 2.34.0 2.35.3 2.36.1 2.37.0 2.38.3
  2.39.0 2.45.0 2.46.1 2.49.1 2.50.0 2.51.0
  `,
)

export const pypiClients = all(
  'PyPI',
  `
  1.0.6 1.1.0 1.2.1 1.3.5 1.4.0 1.5.6 1.6.0 1.7.1 1.8.0 1.9.0 1.10.0 1.11.1
  2.0.1 2.1.5 2.2.7 2.3.6 2.4.3 2.5.0 2.6.4 2.7.0 2.8.1 2.9.1 2.10.2 2.11.0 2.12.2 2.13.3 2.14.1 2.15.3 2.16.0 2.17.0 2.18.0 2.19.0
  2.20.3 2.21.1 2.22.0 2.23.1 2.24.0 2.25.1 2.26.0 2.27.1 2.28.2 2.29.6 2.30.0 2.31.0 2.32.1 2.33.0 2.34.0 2.35.0 2.36.0 2.37.1
  2.38.0 2.39.1 2.40.0 2.41.0 2.42.0 2.43.0 2.44.0 2.45.1 2.46.4 2.48.0 2.49.1 2.50.0 2.51.0 2.52.1 2.53.1 2.55.1 2.56.0 2.57.0
  2.58.0 2.59.0 2.60.0 2.61.0 2.63.0
  `,
)

/** Clients of the code interpreter, with the newest `e2b` that they allow. */
export const interpreterClients = [
  ...all(
    'npm',
    '1.0.4 1.1.1 1.5.1 2.0.1 2.1.0 2.2.0 2.3.3 2.4.2 2.5.0 2.6.1 2.7.2 2.8.0',
    'code-interpreter',
  ),
  ...all(
    'PyPI',
    '1.0.5 1.1.1 1.2.1 1.5.2 2.0.0 2.1.1 2.2.1 2.3.0 2.4.1 2.5.0 2.6.2 2.7.0 2.8.1 2.9.2 2.10.5 2.11.5',
    'code-interpreter',
  ),
]

/** Clients that `npm test` tries: the oldest, one of each generation with a protocol of its own, and those that third-party packages pin. */
export const sample: PinnedClient[] = [
  ...all('npm', '1.0.7 1.13.2 2.7.0 2.14.1'),
  ...all('PyPI', '1.0.6 1.5.6 2.0.1 2.7.0 2.20.3'),
]
