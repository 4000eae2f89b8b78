/** One word of a POSIX shell command line; words that need no quotes stay as they are. */
export function shellQuote(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word
  return `'${word.replaceAll("'", `'"'"'`)}'`
}

/**
 * Package names for an installer's command line. They are left as they are, so that options may stand
 * among them, but for single requirements that the shell would read as redirections or pipes (`numpy>=2`).
 */
export function packageWords(packages: string | string[]): string[] {
  return [packages]
    .flat()
    .map((name) => (/^[^\s'"\\$]*[<>|&;()][^\s'"\\$]*$/.test(name) ? shellQuote(name) : name))
}
