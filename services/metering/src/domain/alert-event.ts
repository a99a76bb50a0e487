import type { Crossing } from "./evaluate-alerts.ts";

/** What the event of a crossing says. Its names are sent as they are. */
export function alertData({ window, reading }: Crossing): Readonly<Record<string, unknown>> {
  const { alert } = window;
  return {
    name: alert.name,
    node_id: alert.node.id,
    direction: alert.direction.toLowerCase(),
    ...subjectData(alert.subject),
    value: Number(reading.value),
    threshold: Number(reading.threshold),
    ...(alert.subject.kind !== "BALANCE" && {
      window_start: new Date(window.startMs).toISOString(),
      window_end: Number.isFinite(window.endMs) ? new Date(window.endMs).toISOString() : null,
    }),
  };
}

export function alertEventType({ window }: Crossing): "alert.reached" | "alert.fallen" {
  return window.alert.direction === "RISING" ? "alert.reached" : "alert.fallen";
}

function subjectData(subject: Crossing["window"]["alert"]["subject"]) {
  const kind = subject.kind.toLowerCase();
  switch (subject.kind) {
    case "LIMIT": {
      const { limitId, threshold } = subject;
      const share = "amount" in threshold ? {} : { share: threshold.shareMillionths / 1_000_000 };
      return { watches: kind, limit_id: limitId, ...share };
    }
    case "USAGE":
      return { watches: kind, meter: subject.meter, descendants: subject.descendants };
    case "SPEND":
      return { watches: kind, currency: subject.currency, descendants: subject.descendants };
    case "BALANCE":
      return { watches: kind, currency: subject.currency };
  }
}
