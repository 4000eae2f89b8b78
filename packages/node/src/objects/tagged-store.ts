/** An object, and what names this state of it. */
export interface TaggedObject {
  content: Buffer
  tag: string
}

/**
 * Objects that several machines write: each write says which state it replaces, so of two that come together one
 * loses. Throws as `ObjectStore` does.
 */
export interface TaggedStore {
  /** @param maxBytes as for `CheckpointStore.get` */
  getTagged(key: string, maxBytes?: number): Promise<TaggedObject | undefined>
  /**
   * @param replaced tag of the state that is replaced; undefined: there must be none
   * @returns the new tag; undefined: somebody else has written meanwhile, and nothing was done
   */
  putTagged(key: string, content: Uint8Array, replaced: string | undefined): Promise<string | undefined>
}
