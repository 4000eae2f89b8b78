import { Option } from 'commander'

/** `-t <project-id>`; default: E2B_PROJECT_ID, else the older E2B_TEAM_ID. */
export const projectOption = (): Option =>
  new Option('-t, --project <project-id>', 'project the operation belongs to (E2B_PROJECT_ID)')

export const projectFromEnvironment = (env: NodeJS.ProcessEnv = process.env): string | undefined =>
  env.E2B_PROJECT_ID || env.E2B_TEAM_ID || undefined
