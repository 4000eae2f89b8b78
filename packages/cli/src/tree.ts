import type { Command } from 'commander'

/** Makes a command; `whole` is the complete program, for the command that lists all others. */
export type MakeCommand = (whole: () => Promise<Command>) => Command

/** One command, whose file is loaded only when the command runs. */
export interface Leaf {
  name: string
  alias?: string
  /** Works, but is not listed in help. */
  isHidden?: boolean
  load(): Promise<MakeCommand>
}

export interface Branch {
  name: string
  alias?: string
  description: string
  entries: Entry[]
}

export type Entry = Leaf | Branch

export const isBranch = (entry: Entry): entry is Branch => 'entries' in entry
export const isNamed = (entry: Entry, word: string | undefined): boolean =>
  word !== undefined && (entry.name === word || entry.alias === word)

const auth: Branch = {
  name: 'auth',
  description: 'authentication commands',
  entries: [
    { name: 'login', load: async () => (await import('./commands/auth/login.ts')).login },
    { name: 'logout', load: async () => (await import('./commands/auth/logout.ts')).logout },
    { name: 'info', load: async () => (await import('./commands/auth/info.ts')).info },
    { name: 'configure', load: async () => (await import('./commands/auth/configure.ts')).configure },
  ],
}

const snapshot: Branch = {
  name: 'snapshot',
  alias: 'snap',
  description: 'work with sandbox snapshots',
  entries: [
    {
      name: 'create',
      alias: 'cr',
      load: async () => (await import('./commands/sandbox/snapshot/create.ts')).create,
    },
    {
      name: 'list',
      alias: 'ls',
      load: async () => (await import('./commands/sandbox/snapshot/list.ts')).list,
    },
    {
      name: 'delete',
      alias: 'dl',
      load: async () => (await import('./commands/sandbox/snapshot/delete.ts')).remove,
    },
  ],
}

const sandbox: Branch = {
  name: 'sandbox',
  alias: 'sbx',
  description: 'work with sandboxes',
  entries: [
    { name: 'create', alias: 'cr', load: async () => (await import('./commands/sandbox/create.ts')).create },
    {
      name: 'spawn',
      alias: 'sp',
      isHidden: true,
      load: async () => (await import('./commands/sandbox/create.ts')).create,
    },
    {
      name: 'connect',
      alias: 'cn',
      load: async () => (await import('./commands/sandbox/connect.ts')).connect,
    },
    { name: 'exec', alias: 'ex', load: async () => (await import('./commands/sandbox/exec.ts')).exec },
    { name: 'cp', load: async () => (await import('./commands/sandbox/cp.ts')).cp },
    {
      name: 'port-forward',
      alias: 'pf',
      load: async () => (await import('./commands/sandbox/port-forward.ts')).portForward,
    },
    { name: 'ssh', load: async () => (await import('./commands/sandbox/ssh.ts')).ssh },
    { name: 'ssh-config', load: async () => (await import('./commands/sandbox/ssh-config.ts')).sshConfig },
    { name: 'list', alias: 'ls', load: async () => (await import('./commands/sandbox/list.ts')).list },
    { name: 'info', alias: 'in', load: async () => (await import('./commands/sandbox/info.ts')).info },
    { name: 'logs', alias: 'lg', load: async () => (await import('./commands/sandbox/logs.ts')).logs },
    { name: 'egress', load: async () => (await import('./commands/sandbox/egress.ts')).egress },
    {
      name: 'metrics',
      alias: 'mt',
      load: async () => (await import('./commands/sandbox/metrics.ts')).metrics,
    },
    { name: 'pause', alias: 'ps', load: async () => (await import('./commands/sandbox/pause.ts')).pause },
    { name: 'resume', alias: 'rs', load: async () => (await import('./commands/sandbox/resume.ts')).resume },
    {
      name: 'checkpoint',
      load: async () => (await import('./commands/sandbox/checkpoint.ts')).checkpoint,
    },
    { name: 'tree', load: async () => (await import('./commands/sandbox/tree.ts')).tree },
    { name: 'diff', load: async () => (await import('./commands/sandbox/diff.ts')).diff },
    { name: 'rollback', load: async () => (await import('./commands/sandbox/rollback.ts')).rollback },
    { name: 'keep', load: async () => (await import('./commands/sandbox/keep.ts')).keep },
    { name: 'mount', load: async () => (await import('./commands/sandbox/mount.ts')).mount },
    { name: 'unmount', load: async () => (await import('./commands/sandbox/unmount.ts')).unmount },
    { name: 'kill', alias: 'kl', load: async () => (await import('./commands/sandbox/kill.ts')).kill },
    snapshot,
  ],
}

const template: Branch = {
  name: 'template',
  alias: 'tpl',
  description: 'manage sandbox templates',
  entries: [
    { name: 'create', alias: 'ct', load: async () => (await import('./commands/template/create.ts')).create },
    { name: 'list', alias: 'ls', load: async () => (await import('./commands/template/list.ts')).list },
    { name: 'init', alias: 'it', load: async () => (await import('./commands/template/init.ts')).init },
    { name: 'delete', alias: 'dl', load: async () => (await import('./commands/template/delete.ts')).remove },
    {
      name: 'publish',
      alias: 'pb',
      load: async () => (await import('./commands/template/publish.ts')).publish,
    },
    {
      name: 'unpublish',
      alias: 'upb',
      load: async () => (await import('./commands/template/unpublish.ts')).unpublish,
    },
    { name: 'migrate', load: async () => (await import('./commands/template/migrate.ts')).migrate },
    {
      name: 'build',
      alias: 'bd',
      isHidden: true,
      load: async () => (await import('./commands/template/build.ts')).build,
    },
  ],
}

const secret: Branch = {
  name: 'secret',
  description: 'manage secrets that sandboxes can use but never see',
  entries: [
    { name: 'list', alias: 'ls', load: async () => (await import('./commands/secret/list.ts')).list },
    { name: 'create', alias: 'cr', load: async () => (await import('./commands/secret/create.ts')).create },
    { name: 'update', alias: 'up', load: async () => (await import('./commands/secret/update.ts')).update },
    { name: 'delete', alias: 'dl', load: async () => (await import('./commands/secret/delete.ts')).remove },
  ],
}

const volume: Branch = {
  name: 'volume',
  alias: 'vol',
  description: 'work with volumes: storage that outlives sandboxes',
  entries: [
    { name: 'create', alias: 'cr', load: async () => (await import('./commands/volume/create.ts')).create },
    { name: 'list', load: async () => (await import('./commands/volume/list.ts')).list },
    { name: 'info', alias: 'in', load: async () => (await import('./commands/volume/info.ts')).info },
    { name: 'ls', load: async () => (await import('./commands/volume/ls.ts')).ls },
    { name: 'cp', load: async () => (await import('./commands/volume/cp.ts')).cp },
    { name: 'rm', load: async () => (await import('./commands/volume/rm.ts')).rm },
    { name: 'snapshot', load: async () => (await import('./commands/volume/snapshot.ts')).snapshot },
    { name: 'resize', load: async () => (await import('./commands/volume/resize.ts')).resize },
    { name: 'delete', alias: 'dl', load: async () => (await import('./commands/volume/delete.ts')).remove },
    { name: 'restore', load: async () => (await import('./commands/volume/restore.ts')).restore },
  ],
}

/** Every command of `e2b`. */
export const ROOT: Branch = {
  name: 'e2b',
  description: 'Sandboxes for AI agents, from the command line.',
  entries: [
    auth,
    template,
    sandbox,
    secret,
    volume,
    { name: 'storage', load: async () => (await import('./commands/storage.ts')).storage },
    { name: 'doctor', load: async () => (await import('./commands/doctor.ts')).doctor },
    { name: 'completion', load: async () => (await import('./commands/completion.ts')).completion },
  ],
}
