import { stripVTControlCharacters } from 'node:util'
import { coloured } from './colour.ts'

export interface Column<Row> {
  title: string
  value(row: Row): string
}

const GAP = '   '

/** Formats a table with columns as wide as their widest cell and without borders, so that `awk` and `cut` can read it. */
export function formatTable<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const cells = rows.map((row) => columns.map((column) => oneLine(column.value(row))))
  const widths = columns.map((column, at) =>
    Math.max(column.title.length, ...cells.map((line) => displayWidth(line[at]!))),
  )
  const format = (line: readonly string[]): string =>
    line
      .map((cell, at) => cell + ' '.repeat(widths[at]! - displayWidth(cell)))
      .join(GAP)
      .trimEnd()
  const head = coloured('bold', format(columns.map((column) => column.title)))
  return [head, ...cells.map(format)].join('\n')
}

/** Removes control characters from names and metadata, which other users choose. */
const oneLine = (text: string): string => stripVTControlCharacters(text).replace(/\p{Cc}+/gu, ' ')

const segmenter = new Intl.Segmenter()
// East Asian wide forms and emoji take two cells (Unicode TR 11).
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u

/** Number of terminal cells that a text takes. */
export function displayWidth(text: string): number {
  let width = 0
  for (const { segment } of segmenter.segment(text)) width += WIDE.test(segment) ? 2 : 1
  return width
}
