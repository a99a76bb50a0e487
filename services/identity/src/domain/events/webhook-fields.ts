import { webhookUrlFault } from "@gatehouse/events/webhook";
import type { Fields } from "../fields.ts";
import { EVENT_TYPES } from "./event.ts";

const MAX_EVENTS = 50;
const PART = "(?:[a-z]+|\\*)";
const EVENT_PATTERN = new RegExp(`^${PART}(?:\\.${PART})?$`);

/** An address that deliveries may go to. */
export function webhookUrl(fields: Fields, value: string, { insecure }: { insecure: boolean }): string {
  const fault = webhookUrlFault(value, { insecure });
  if (fault !== undefined) fields.wrong("url", fault);
  return value;
}

/** Names of events, with `*` for any part; each has to be able to match one that there is. */
export function webhookEvents(fields: Fields, value: readonly string[]): readonly string[] {
  if (value.length > MAX_EVENTS) fields.wrong("events", `must have at most ${MAX_EVENTS} names`);
  for (const [index, pattern] of value.slice(0, MAX_EVENTS).entries()) {
    if (
      pattern.length <= 100 &&
      EVENT_PATTERN.test(pattern) &&
      EVENT_TYPES.some((type) => matches(pattern, type))
    ) {
      continue;
    }
    fields.wrong(
      `events[${index}]`,
      "must be the name of an event, such as key.revoked, or key.* for all of a kind",
    );
  }
  return [...new Set(value)];
}

function matches(pattern: string, type: string): boolean {
  if (pattern === "*") return true;
  const parts = type.split(".");
  const wanted = pattern.split(".");
  return (
    parts.length === wanted.length && wanted.every((part, index) => part === "*" || part === parts[index])
  );
}
