import { hash } from "node:crypto";
import { METER_NAME } from "@gatehouse/access";
import { isId } from "@gatehouse/keys";
import { isResource } from "@gatehouse/scopes";
import type { Reason } from "@gatehouse/service/failure";
import type { AccountName } from "./mirror.ts";
import { type NodeName, nodeViolations, providerAccountName } from "./node-in-reach.ts";
import { isStorable } from "./storable.ts";

/** A reported event as it came: nothing in it is checked. */
export interface EventDraft {
  readonly id: string;
  readonly node: NodeName | undefined;
  readonly meter: string;
  readonly units: bigint;
  readonly atMs: number | undefined;
  readonly resource: string;
}

/** Why an event is not booked. */
export interface EventFault {
  readonly reason: Reason;
  readonly field: string;
  readonly message: string;
}

/** Whose usage it is, and what it draws on. */
export interface EventNode {
  /** Empty for usage without a key. */
  readonly keyId: string;
  readonly accountId: string;
  /** The key, its parent key, the account and its ancestors. */
  readonly nodeIds: readonly string[];
}

/** What the mirror knows of what events name, and what time it is. */
export interface EventWorld {
  readonly keys: ReadonlyMap<string, EventNode>;
  /** By what they were asked for. */
  readonly accounts: ReadonlyMap<string, EventNode>;
  readonly meters: ReadonlySet<string>;
  /** Which events before this were booked is forgotten: -Infinity where it never was. */
  readonly rememberedFromMs: number;
  readonly nowMs: number;
}

/** An event that can be booked. */
export interface UsageEvent {
  readonly id: string;
  readonly node: EventNode;
  readonly meter: string;
  readonly units: number;
  readonly atMs: number;
  readonly resource: string;
  /** What it says, so that another event under its id is told apart: 16 bytes of a SHA-256. */
  readonly content: Buffer;
}

const MAX_ID_LENGTH = 128;
const MAX_RESOURCE_LENGTH = 256;
const MAX_UNITS = 2n ** 48n;
/** Clocks of backends differ by seconds; of one whose clock is further ahead nothing can be believed. */
const MAX_AHEAD_MS = 5 * 60_000;

/** What is wrong with an event, whatever there is. */
export function faultOf({ id, node, meter, units, atMs, resource }: EventDraft): EventFault | undefined {
  const bad = (field: string, message: string) => ({ reason: "INVALID_FIELD", field, message }) as const;
  if (id === "" || !isStorable(id, MAX_ID_LENGTH)) {
    return bad("id", `must be 1 to ${MAX_ID_LENGTH} characters, none of them NUL`);
  }
  if (node === undefined) return bad("node", "must be a key or an account");
  const [violation] = nodeViolations(node);
  if (violation !== undefined) return bad(violation.field, violation.description);
  if (!METER_NAME.test(meter)) return bad("meter", "must be the name of a meter");
  if (units < 0n || units > MAX_UNITS) return bad("units", `must be from 0 to ${MAX_UNITS}`);
  if (atMs === undefined) return bad("time", "is required");
  if (resource !== "" && (resource.length > MAX_RESOURCE_LENGTH || !isResource(resource))) {
    return bad("resource", "must be a resource");
  }
  return undefined;
}

/** The events' nodes and meters, each once, to be looked up. Of drafts without faults. */
export function namesIn(drafts: Iterable<EventDraft>) {
  const keyIds = new Set<string>();
  const accounts = new Map<string, AccountName>();
  const meters = new Set<string>();
  for (const { node, meter } of drafts) {
    meters.add(meter);
    if (node?.kind === "KEY" && isId("key", node.id)) keyIds.add(node.id);
    if (node?.kind === "ACCOUNT") {
      const name = providerAccountName(node.name);
      if (name !== undefined) accounts.set(node.name, name);
    }
  }
  return { keyIds, accounts, meters };
}

/** The event, or what of it there is not. Of a draft without faults. */
export function eventOf(draft: EventDraft, world: EventWorld, keptMs: number): UsageEvent | EventFault {
  const { id, meter, resource } = draft;
  const atMs = draft.atMs!;
  if (atMs > world.nowMs + MAX_AHEAD_MS) {
    return { reason: "INVALID_FIELD", field: "time", message: "is in the future" };
  }
  // Of the setting and of what was dropped: where events were kept for less time once, raising it brings none of them back.
  if (atMs < world.nowMs - keptMs || atMs < world.rememberedFromMs) {
    const message = "is longer ago than usage by minute is kept";
    return { reason: "INVALID_FIELD", field: "time", message };
  }
  const node = nodeOf(draft, world);
  if (node === undefined) {
    const field = draft.node!.kind === "KEY" ? "key" : "account";
    return { reason: "NOT_FOUND", field, message: `no such ${field}` };
  }
  if (!world.meters.has(meter)) return { reason: "NOT_FOUND", field: "meter", message: "no such meter" };
  const units = Number(draft.units);
  return { id, node, meter, units, atMs, resource, content: contentOf(node, draft) };
}

function nodeOf({ node }: EventDraft, { keys, accounts }: EventWorld): EventNode | undefined {
  return node!.kind === "KEY" ? keys.get(node!.id) : accounts.get(node!.name);
}

// Of what was named, not of its name: an account's id and its slug are one.
function contentOf({ keyId, accountId }: EventNode, { meter, units, atMs, resource }: EventDraft): Buffer {
  const text = JSON.stringify([keyId, accountId, meter, String(units), atMs, resource]);
  return hash("sha256", text, "buffer").subarray(0, 16);
}
