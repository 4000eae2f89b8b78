/** Words that a shell does not change. */
const PLAIN = /^[\w@%+=:,./-]+$/

export const quote = (word: string): string =>
  PLAIN.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`

/** A single word is a command line for the sandbox's shell; several words are a program and its arguments, which are quoted. */
export const commandLine = (words: readonly string[]): string =>
  words.length === 1 ? words[0]! : words.map(quote).join(' ')
