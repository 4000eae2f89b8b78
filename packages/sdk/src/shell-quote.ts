/** Quotes one word of a POSIX shell command line; words that need no quotes stay unchanged. */
export function shellQuote(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word
  return `'${word.replaceAll("'", `'"'"'`)}'`
}

/**
 * Returns package names for an installer's command line. Names stay unquoted, so that options may stand among them,
 * except single requirements that the shell would read as redirections or pipes (`numpy>=2`).
 */
export function packageWords(packages: string | string[]): string[] {
  return [packages]
    .flat()
    .map((name) => (/^[^\s'"\\$]*[<>|&;()][^\s'"\\$]*$/.test(name) ? shellQuote(name) : name))
}
