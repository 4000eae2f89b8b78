/** URL of the control plane, found by the same rule as in the SDK (wire spec 1.1). */
export function apiUrl(env: NodeJS.ProcessEnv = process.env): string {
  if (env.E2B_API_URL) return env.E2B_API_URL.replace(/\/+$/, '')
  if (env.E2B_DEBUG === 'true') return 'http://localhost:3000'
  return `https://api.${env.E2B_DOMAIN || 'e2b.app'}`
}

export const docsUrl = (env: NodeJS.ProcessEnv = process.env): string =>
  env.E2B_DOCS_BASE || `https://${env.E2B_DOMAIN || 'e2b.dev'}/docs`

export const dashboardUrl = (env: NodeJS.ProcessEnv = process.env): string =>
  env.E2B_DASHBOARD_BASE || `https://${env.E2B_DOMAIN || 'e2b.dev'}/dashboard`
