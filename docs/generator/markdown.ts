/** Escapes what a Markdown table or paragraph would read as syntax; text in backticks stays as it is. */
export const inline = (text: string): string =>
  text
    .split(/(`[^`]*`)/)
    .map((part) =>
      part.startsWith('`') ? part : part.replace(/[<>]/g, (sign) => (sign === '<' ? '&lt;' : '&gt;')),
    )
    .join('')
    .replaceAll('|', '\\|')
    .replace(/\s*\n\s*/g, ' ')

/** Formats text as code inside a table, where a `|` would end the cell. */
export const code = (text: string): string => `\`${text.replaceAll('|', '\\|')}\``

/** Makes a table; without rows it is empty. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  if (rows.length === 0) return []
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), `|${head.map(() => '---|').join('')}`, ...rows.map(line), '']
}
