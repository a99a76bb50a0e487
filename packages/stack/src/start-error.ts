/** Why nothing was started, as one line for the person who can put it right: no stack is worth printing. */
export class StartError extends Error {
  override readonly name = "StartError";
}
