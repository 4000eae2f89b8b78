import { expect, test } from 'vitest'
import { collapseBlanks, expandVariables, splitWords } from './words.ts'

const texts = (line: string) => splitWords(line).map(({ text }) => text)

test('quotes keep white space in a word and are removed', () => {
  expect(texts(`A=1 B="x y" C='q r' D=a\\ b "E"=g F=`)).toEqual([
    'A=1',
    'B=x y',
    'C=q r',
    'D=a b',
    'E=g',
    'F=',
  ])
})

test('inside double quotes a backslash escapes only quotes, dollars, and itself', () => {
  expect(texts('"a\\"b\\\\c\\n"')).toEqual(['a"b\\c\\n'])
})

test('a literal dollar stays literal when the word is expanded later', () => {
  const [single, double, escaped] = splitWords(`'$A' "$A" \\$A`)
  expect([single, double, escaped].map((word) => word!.expandable)).toEqual(['\\$A', '$A', '\\$A'])
})

test('variables are replaced, with defaults and alternatives', () => {
  const values = new Map([
    ['A', '1'],
    ['EMPTY', ''],
  ])
  expect(expandVariables('$A-${A}-${A:-x}-${A:+y}-${EMPTY:-z}-${EMPTY:+n}', values, 'stays')).toBe(
    '1-1-1-y-z-',
  )
  expect(expandVariables('$B/${B:-x}/\\$A', values, 'stays')).toBe('$B/${B:-x}/\\$A')
  expect(expandVariables('$B/${B:-x}/\\$A', values, 'is unset')).toBe('/x/$A')
})

test('blanks collapse outside quotes only', () => {
  expect(collapseBlanks(`echo   "a   b"\t'c   d'  e\\  f \\"  g`)).toBe(`echo "a   b" 'c   d' e\\  f \\" g`)
})
