import { counter, gauge, labelled, type Metric } from "@gatehouse/service";
import type { Follower } from "./follower.ts";
import type { FeedName } from "./position.ts";

/** What a follower says of itself to those who watch it. */
export function feedMetrics(
  feed: FeedName,
  follower: Follower<{ readonly revision: number | bigint }>,
): readonly Metric[] {
  const metrics = [
    gauge(
      "gatehouse_feed_age_seconds",
      "How old the state is that a feed has proven; infinite before its first proof.",
      "max",
      () => follower.ageMs() / 1000,
    ),
    gauge(
      "gatehouse_feed_revision",
      "The revision up to which a feed is proven; 0 before its first proof.",
      "min",
      () => follower.position?.revision ?? 0,
    ),
    gauge(
      "gatehouse_feed_out_of_reach",
      "1 while a feed's source does not answer, as far as can be told now.",
      "max",
      () => Number(follower.isOutOfReach),
    ),
    counter("gatehouse_feed_proofs_total", "Proofs of freshness begun.", () => follower.proofsBegun),
    counter("gatehouse_feed_failed_proofs_total", "Proofs that failed.", () => follower.failedProofs),
    counter(
      "gatehouse_feed_restarts_total",
      "How often a follower forgot everything and began anew, its start included.",
      () => follower.restarts,
    ),
    counter("gatehouse_feed_bells_total", "Bells heard, which hasten proofs.", () => follower.bells),
  ];
  return labelled(metrics, "feed", feed);
}
