export {
  type DecisionId,
  derivedId,
  type Id,
  type InvitationId,
  isId,
  type KeyId,
  mintId,
} from "./id.ts";
export {
  KeyFormat,
  type KeyFormatOptions,
  type MintedKey,
  type ParsedKey,
  TAGGED_LENGTH,
} from "./key-format.ts";
export { KeyFormatError } from "./key-format-error.ts";
export { DEFAULT_PREFIX, type KeyKind } from "./key-text.ts";
export { leakPattern, maskKey, redact } from "./leaked-key.ts";
export { newPepper, type Pepper, parsePepper } from "./pepper.ts";
export { type Resealed, reseal, type SealedPlace, type SealedRow } from "./reseal.ts";
export { ReservedDecisionIds } from "./reserved-decision-id.ts";
export {
  type EncryptionKey,
  newEncryptionKey,
  parseEncryptionKey,
  SealError,
  Sealer,
} from "./sealer.ts";
export { hashesEqual, hashSecret, isHash } from "./secret-hash.ts";
export {
  readSignature,
  type SigningAlgorithm,
  signatureHolds,
  signText,
  type VerifyingKey,
  verifyingKey,
} from "./signature.ts";
export {
  canonicalRequest,
  contentSha256,
  isNonce,
  isSignedForm,
  parseCanonicalRequest,
  type SignedContent,
} from "./signed-content.ts";
export {
  type HeaderOf,
  isSigned,
  type RequestToSign,
  readSignedHeaders,
  SIGNED_HEADERS,
  type SignedRequestParts,
  signedHeaders,
} from "./signed-headers.ts";
