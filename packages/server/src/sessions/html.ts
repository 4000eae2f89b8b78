/** Markup that is inserted into a page without escaping. */
export class Html {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

type Value = Html | Html[] | string | number | undefined | false

/** Template tag for markup: escapes every value that is not markup; undefined and false become the empty string. */
export function html(strings: TemplateStringsArray, ...values: Value[]): Html {
  return new Html(String.raw({ raw: strings }, ...values.map(toText)))
}

function toText(value: Value): string {
  if (value instanceof Html) return value.text
  if (Array.isArray(value)) return value.map(({ text }) => text).join('')
  return value === undefined || value === false ? '' : String(value).replace(/[&<>"']/g, entityOf)
}

const entityOf = (character: string): string => `&#${character.charCodeAt(0)};`
