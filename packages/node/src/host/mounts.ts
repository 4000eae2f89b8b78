/** For `images/base-image.ts`, whose text is the key of the base image: another import would have every base image made again. */
export { detachMount, mountsIn } from '@sandlot/linux'
