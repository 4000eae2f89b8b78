import { fileURLToPath } from 'node:url'

export const repositoryRoot = fileURLToPath(new URL('..', import.meta.url))

/** Folders with the `package.json` and `package-lock.json` of what is installed into images. */
export const npmLocks = [
  ...['amp', 'claude', 'codex', 'openclaw', 'opencode'].map((name) => `templates/${name}/npm`),
  'guest/code-interpreter/npm',
  'packages/node/src/images/base-npm',
]

/** What is asked for, and the lock with everything that comes along. */
export const pythonLock = {
  folder: 'guest/code-interpreter/python',
  files: [
    ['requirements.txt', 'requirements.lock'],
    ['installer.txt', 'installer.lock'],
  ],
} as const

/** Where a template copies its `npm` folder to. */
export const LOCKED = '/tmp/npm'

/**
 * Shell commands that put packages where `npm install -g` puts them, from the lock file in `LOCKED`: npm refuses a package with another hash,
 * and one with an install script that `allowScripts` of its `package.json` does not name.
 * @param commands files of the package by the name of their command
 */
export function installGlobally(name: string, commands: Record<string, string>): string[] {
  const modules = '/usr/local/lib/node_modules'
  const target = `${modules}/${name}`
  return [
    ...installLocked,
    `mkdir -p ${target.slice(0, target.lastIndexOf('/'))}`,
    `mv node_modules/${name} ${target}`,
    ...Object.entries(commands).map(
      ([command, file]) => `ln -sf ../lib/node_modules/${name}/${file} /usr/local/bin/${command}`,
    ),
  ]
}

/** Leaves the packages in `node_modules` of the folder that the shell is then in. */
export const installLocked = [
  `cd ${LOCKED}`,
  'npm ci --strict-allow-scripts --no-audit --no-fund --loglevel=error',
]

/** After the last of these. */
export const removeLocked = `cd / && rm -rf ${LOCKED} ~/.npm`
