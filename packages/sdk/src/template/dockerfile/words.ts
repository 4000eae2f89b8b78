/** A word of a Dockerfile line without its quotes. */
interface Word {
  text: string
  /** The word with each literal `$` escaped, so that the word can be expanded later. */
  expandable: string
}

/** Splits at white space outside quotes and removes the quotes, as a POSIX shell does. */
export function splitWords(line: string): Word[] {
  const words: Word[] = []
  let word: Word | undefined
  let quote = ''
  for (let at = 0; at < line.length; at++) {
    let char = line[at]!
    if (quote === '' && /\s/.test(char)) {
      if (word) words.push(word)
      word = undefined
      continue
    }
    word ??= { text: '', expandable: '' }
    if (char === quote || (quote === '' && (char === '"' || char === "'"))) {
      quote = quote === '' ? char : ''
      continue
    }
    let isLiteral = quote === "'"
    if (
      char === '\\' &&
      quote !== "'" &&
      at + 1 < line.length &&
      (quote === '' || /["\\$]/.test(line[at + 1]!))
    ) {
      char = line[++at]!
      isLiteral = true
    }
    word.text += char
    word.expandable += isLiteral && char === '$' ? '\\$' : char
  }
  if (word) words.push(word)
  return words
}

/**
 * Replaces `$NAME`, `${NAME}`, `${NAME:-word}` and `${NAME:+word}`.
 *
 * @param unknown treatment of a name without a value: it stays, for the builder to expand, or counts as unset
 */
export function expandVariables(
  text: string,
  values: ReadonlyMap<string, string>,
  unknown: 'stays' | 'is unset',
): string {
  return text.replace(
    /\\\$|\$(?:(\w+)|\{(\w+)(?::([-+])([^}]*))?\})/g,
    (whole, plain: string | undefined, braced: string | undefined, operator?: string, word = '') => {
      if (whole === '\\$') return unknown === 'stays' ? whole : '$'
      const value = values.get((plain ?? braced)!)
      if (value === undefined && unknown === 'stays') return whole
      if (operator === '-') return value || word
      if (operator === '+') return value ? word : ''
      return value ?? ''
    },
  )
}

/**
 * Replaces each run of white space outside quotes, which line breaks and indentation leave in a command, with one
 * space.
 */
export function collapseBlanks(command: string): string {
  return command.replace(/\\[\s\S]|"(?:\\[\s\S]|[^"\\])*"|'[^']*'|\s+/g, (part) =>
    /^\s/.test(part) ? ' ' : part,
  )
}
