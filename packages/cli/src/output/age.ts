const UNITS = [
  { name: 'd', seconds: 86_400 },
  { name: 'h', seconds: 3_600 },
  { name: 'min', seconds: 60 },
]

/** In the largest unit that there is one whole of: `42 s`, `3 min`, `5 h`, `12 d`. Clocks may differ: never below 0. */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  const unit = UNITS.find((each) => seconds >= each.seconds)
  return unit ? `${Math.floor(seconds / unit.seconds)} ${unit.name}` : `${seconds} s`
}

/** Exactly, in the largest unit that it is a multiple of: `36 h`, `7 d`. */
export function formatDuration(seconds: number): string {
  const unit = UNITS.find((each) => seconds >= each.seconds && seconds % each.seconds === 0)
  return unit ? `${seconds / unit.seconds} ${unit.name}` : `${seconds} s`
}
