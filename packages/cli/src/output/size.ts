const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

/** `12.4 MiB`. */
export function formatBytes(bytes: number): string {
  const rank = bytes < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10))
  const amount = bytes / 1024 ** rank
  return `${rank === 0 ? amount : amount.toFixed(1)} ${UNITS[rank]}`
}
