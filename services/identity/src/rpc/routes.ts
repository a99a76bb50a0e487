import type { Principal } from "@gatehouse/access";
import type { Route } from "@gatehouse/service";
import type { Domain } from "../domain/domain.ts";
import type { Feed } from "../domain/feed.ts";
import { accountService } from "./account-service.ts";
import { auditService } from "./audit-service.ts";
import { catalogService } from "./catalog-service.ts";
import { type Facts, feedService } from "./feed-service.ts";
import { integrationService } from "./integration-service.ts";
import { keyService } from "./key-service.ts";
import { memberService } from "./member-service.ts";
import { meterService } from "./meter-service.ts";
import { planService } from "./plan-service.ts";
import { roleService } from "./role-service.ts";
import { termsService } from "./terms-service.ts";
import { typeService } from "./type-service.ts";
import { webhookService } from "./webhook-service.ts";

/** Every service of identity. */
export function routes(domain: Domain, feed: Feed, facts: Facts): Route<Principal>[] {
  return [
    accountService(domain),
    keyService(domain),
    roleService(domain),
    planService(domain),
    catalogService(domain),
    typeService(domain),
    meterService(domain),
    integrationService(domain),
    termsService(domain),
    memberService(domain),
    webhookService(domain),
    auditService(domain),
    feedService(feed, facts),
  ];
}
