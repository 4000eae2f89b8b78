const UNITS = [
  { name: 'd', seconds: 86_400 },
  { name: 'h', seconds: 3_600 },
  { name: 'min', seconds: 60 },
]

/** Formats an age in the largest whole unit: `42 s`, `3 min`, `5 h`, `12 d`. Never negative, as clocks may differ. */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  const unit = UNITS.find((each) => seconds >= each.seconds)
  return unit ? `${Math.floor(seconds / unit.seconds)} ${unit.name}` : `${seconds} s`
}

/** Formats a duration exactly, in the largest unit that divides it: `36 h`, `7 d`. */
export function formatDuration(seconds: number): string {
  const unit = UNITS.find((each) => seconds >= each.seconds && seconds % each.seconds === 0)
  return unit ? `${seconds / unit.seconds} ${unit.name}` : `${seconds} s`
}
