/** An object and a tag that identifies this version of it. */
export interface TaggedObject {
  content: Buffer
  tag: string
}

/**
 * Stores objects that several machines write: each write names the version that it replaces, so one of two concurrent
 * writes loses. Throws like `ObjectStore`.
 */
export interface TaggedStore {
  /** @param maxBytes as for `ObjectStore.get` */
  getTagged(key: string, maxBytes?: number): Promise<TaggedObject | undefined>
  /**
   * @param replaced tag of the version that is replaced; undefined when there must be none
   * @returns the new tag; undefined when another writer was faster and nothing was written
   */
  putTagged(key: string, content: Uint8Array, replaced: string | undefined): Promise<string | undefined>
}
