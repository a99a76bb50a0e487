/** Why a gateway is answered without asking Verify. */
export type UnanswerableCode =
  /** 401: the call has no credential. */
  | "CREDENTIAL_MISSING"
  /** 401: what it has is none. */
  | "CREDENTIAL_INVALID"
  /** 400: the call contradicts itself. */
  | "REQUEST_INVALID"
  /** 500: the gateway is not set up rightly, which is nothing that the caller can do anything about. */
  | "SETUP"
  /** 503: nothing can be decided now. */
  | "UNAVAILABLE";

/** A call that is refused before, or in the place of, a decision. The message is for the caller to read. */
export class Unanswerable extends Error {
  override readonly name = "Unanswerable";
  readonly code: UnanswerableCode;

  constructor(code: UnanswerableCode, message: string) {
    super(message);
    this.code = code;
  }
}
