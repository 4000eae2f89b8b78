/** Converts bytes to whole mebibytes for messages, which call them MB. */
export const toMB = (bytes: number): number => Math.round(bytes / 2 ** 20)
