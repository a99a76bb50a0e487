import { accountRequests } from "./account-requests.ts";
import { alertRequests } from "./alert-requests.ts";
import { creditRequests } from "./credit-requests.ts";
import { keyRequests } from "./key-requests.ts";
import { memberRequests } from "./member-requests.ts";
import { otherRequests } from "./other-requests.ts";
import { providerRequests } from "./provider-requests.ts";
import type { Requests } from "./request.ts";
import { roleAndWebhookRequests } from "./role-and-webhook-requests.ts";

/** A request for every RPC, and for some a few more. */
export const requests: Requests = {
  ...accountRequests,
  ...keyRequests,
  ...roleAndWebhookRequests,
  ...memberRequests,
  ...providerRequests,
  ...creditRequests,
  ...alertRequests,
  ...otherRequests,
};
