export { Code } from "@connectrpc/connect";
export { type Gatehouse, type GatehouseOptions, gatehouse } from "./gatehouse.ts";
export { type CallFailure, type ErrorReasonName, type FieldViolation, reasonOf } from "./reason-of.ts";
export { type RequestToSign, signRequest } from "./sign-request.ts";
export type { Credential, Transport } from "./transport.ts";
export { verifyWebhook, type WebhookEvent } from "./verify-webhook.ts";
