/** Configuration that no key can be made with: a prefix or pepper. Its message never quotes a pepper. */
export class KeyFormatError extends Error {
  override readonly name = "KeyFormatError";
}
