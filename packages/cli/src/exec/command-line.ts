/** Words that a shell takes as they are. */
const PLAIN = /^[\w@%+=:,./-]+$/

export const quote = (word: string): string =>
  PLAIN.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`

/** One word is a line for the shell inside; several are a program and its arguments, which no shell changes. */
export const commandLine = (words: readonly string[]): string =>
  words.length === 1 ? words[0]! : words.map(quote).join(' ')
