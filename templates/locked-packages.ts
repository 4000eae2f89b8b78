import { fileURLToPath } from 'node:url'

export const repositoryRoot = fileURLToPath(new URL('..', import.meta.url))

/** Folders with `package.json` and `package-lock.json` of the npm packages in images. */
export const npmLocks = [
  ...['amp', 'claude', 'codex', 'openclaw', 'opencode'].map((name) => `templates/${name}/npm`),
  'guest/code-interpreter/npm',
  'packages/node/src/images/base-npm',
]

/** Requirements, and the lock with all their dependencies. */
export const pythonLock = {
  folder: 'guest/code-interpreter/python',
  files: [
    ['requirements.txt', 'requirements.lock'],
    ['installer.txt', 'installer.lock'],
  ],
} as const

/** Path in the image to which a template copies its `npm` folder. */
export const LOCKED = '/tmp/npm'

/**
 * Returns shell commands that install packages from the lock file in `LOCKED` like `npm install -g`. npm refuses a
 * package with another hash, or with an install script that `allowScripts` in `package.json` does not list.
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

/** Shell commands that install the packages into `node_modules` of the current folder. */
export const installLocked = [
  `cd ${LOCKED}`,
  'npm ci --strict-allow-scripts --no-audit --no-fund --loglevel=error',
]

/** Shell commands to run after the last installation. */
export const removeLocked = `cd / && rm -rf ${LOCKED} ~/.npm`
