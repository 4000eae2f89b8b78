const MiB = 2 ** 20

/** Converts bytes to whole mebibytes for messages, which call them MB. */
export const toMB = (bytes: number): number => Math.round(bytes / MiB)

/** Like `toMB`, but rounds up: for amounts beside a limit that they exceed by little, and sizes that are never 0. */
export const toFullMB = (bytes: number): number => Math.ceil(bytes / MiB)
