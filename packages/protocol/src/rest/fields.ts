import Type from 'typebox'

/** Lets callers leave a field out while handlers always see it: validation fills in the default. */
export const Defaulted = <T extends Type.TSchema>(schema: T): T => Type.Optional(schema) as unknown as T

/** An object or null. For strings and integers see `NullableString` and `NullableInteger`, which serialise faster. */
export const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()])

export const NullableString = (options: Type.TStringOptions = {}) =>
  Type.Unsafe<string | null>({ ...options, type: ['string', 'null'] })

export const NullableInteger = (options: Type.TNumberOptions = {}) =>
  Type.Unsafe<number | null>({ ...options, type: ['integer', 'null'] })

export const NullableBoolean = (options: Type.TSchemaOptions = {}) =>
  Type.Unsafe<boolean | null>({ ...options, type: ['boolean', 'null'] })

/** One of the given strings. */
export const OneOf = <const Values extends readonly string[]>(
  values: Values,
  options: Type.TSchemaOptions = {},
) => Type.Unsafe<Values[number]>({ ...options, type: 'string', enum: [...values] })

/** An object with keys of the caller's choice. */
export const MapOf = <T extends Type.TSchema>(values: T, options: Type.TSchemaOptions = {}) =>
  Type.Unsafe<Record<string, Type.Static<T>>>({ ...options, type: 'object', additionalProperties: values })

export const StringMap = (options: Type.TSchemaOptions = {}) => MapOf(Type.String(), options)

/** JSON that the server stores without reading it. */
export const AnyObject = (options: Type.TSchemaOptions = {}) =>
  Type.Unsafe<Record<string, unknown>>({ ...options, type: 'object', additionalProperties: true })

export const Time = (description?: string) =>
  Type.String({ format: 'date-time', ...(description && { description }) })

export const NullableTime = (description: string) => NullableString({ format: 'date-time', description })

/** The last instant that a date can hold; it also keeps `1e400`, which is Infinity to a validator, out of queries. */
export const MAX_UNIX_MS = 8.64e15

/**
 * A list in one query parameter, separated by commas. Handlers get the string; the OpenAPI document shows an array with
 * `explode: false`.
 */
export const CommaSeparated = (item: Type.TSchema, options: Type.TStringOptions) =>
  Type.String({ ...options, 'x-comma-separated': item })
