export { auditDatabase } from "./audit-books.ts";
export { type MeteringConfig, readMeteringConfig } from "./config.ts";
export { createMetering, type Metering, type MeteringOverrides } from "./create-metering.ts";
export type { IdentityFeed } from "./identity-feed.ts";
export type { MirrorChange, MirrorEntity } from "./storage/mirror-replica.ts";
