import type { CatalogEntry, CatalogReport } from '@sandlot/server'

/** `3 of 7, about 9 minutes, 6 GB`; only the first part when all templates are ready. */
export function describeCatalog({ templates, readyCount, left }: CatalogReport): string {
  const unfinished = templates.filter(isUnfinished)
  const counted = templates.filter(({ state }) => state === 'ready').length + unfinished.length
  const share = `${readyCount} of ${counted}`
  if (unfinished.length === 0) return `${share} ready`
  const isKnown = unfinished.every(({ estimate }) => estimate)
  const about = isKnown ? 'about' : 'at least'
  return `${share}, ${about} ${toMinutes(left.seconds)}, ${inMBOrGB(left.megabytes)}`
}

/** One line for each template that is being built, and for each missing one with the command that builds it. */
export function detailsOf({ templates }: CatalogReport, nowMs = Date.now()): string[] {
  return templates.flatMap((entry) => {
    const { name } = entry
    if (entry.state === 'building') {
      const seconds = Math.max(0, Math.round((nowMs - entry.sinceMs) / 1000))
      return `${name}: being built for ${seconds} s${entry.step ? `, now ${entry.step}` : ''}`
    }
    if (entry.state === 'failed')
      return `${name}: failed: ${firstLine(entry.reason)}; the next start tries again`
    if (entry.state === 'left-out')
      return `${name}: left out: ${entry.reason}; \`sandlot templates build ${name}\` builds it nevertheless`
    if (entry.state === 'removed')
      return `${name}: removed; \`sandlot templates build ${name}\` builds it again`
    return []
  })
}

export const isUnfinished = ({ state }: CatalogEntry): boolean => state === 'waiting' || state === 'building'

const firstLine = (text: string): string => text.split('\n')[0]!.slice(0, 200)

function toMinutes(seconds: number): string {
  const minutes = Math.ceil(seconds / 60)
  return minutes <= 1 ? 'a minute' : `${minutes} minutes`
}

export const inMBOrGB = (megabytes: number): string =>
  megabytes < 1000 ? `${Math.ceil(megabytes)} MB` : `${(megabytes / 1024).toFixed(1).replace(/\.0$/, '')} GB`
