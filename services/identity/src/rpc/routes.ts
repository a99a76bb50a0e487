import type { Principal } from "@gatehouse/access";
import type { Route } from "@gatehouse/service";
import type { Domain } from "../domain/domain.ts";
import type { Feed } from "../domain/feed.ts";
import { accountService } from "./account-service.ts";
import { feedService } from "./feed-service.ts";
import { keyService } from "./key-service.ts";
import { meterService } from "./meter-service.ts";

/** Every service of identity. */
export function routes(domain: Domain, feed: Feed): Route<Principal>[] {
  return [accountService(domain), keyService(domain), meterService(domain), feedService(feed)];
}
