export { bellSubject, decodeBell, encodeBell } from "./bell.ts";
export {
  ChangeLog,
  type ChangeLogOptions,
  type ChangeRow,
  changesAfter,
  sqlState,
  trimChanges,
} from "./change-log.ts";
export { changeLogDown, changeLogUp } from "./change-log-schema.ts";
export { ChangeRing } from "./change-ring.ts";
export { type Clock, elapsedMs, type Moment, systemClock } from "./clock.ts";
export { type DatabaseOptions, openDatabase } from "./database.ts";
export { databaseFailure, loggedDatabaseFailure } from "./database-failure.ts";
export { feedMetrics } from "./feed-metrics.ts";
export { type FollowOptions, follow } from "./follow.ts";
export { type FeedSource, Follower, type FollowerOptions, type Replica } from "./follower.ts";
export { poolMetrics } from "./pool-metrics.ts";
export {
  decodeFreshness,
  encodeFreshness,
  type FeedName,
  type Freshness,
  type Position,
  positionOf,
} from "./position.ts";
export { SharedRead } from "./shared-read.ts";
export { translatedGuard, translatedRoute } from "./translated.ts";
export { type Gates, Tx } from "./tx.ts";
