import { JsonFields } from "./json-fields.ts";
import { type LimitWish, WINDOWS, type WindowName } from "./limit-wish.ts";
import { METER_PATTERN, ReplayError } from "./trace.ts";

const SPAN = /^(\d{1,8})(ms|s|m|h)$/;
const SPAN_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const LIMITS_MAX = 10_000;

/** Reads a limits file. Throws ReplayError naming everything that is wrong with it. */
export function parseLimits(name: string, text: string): LimitWish[] {
  const problems: string[] = [];
  const entries = parseJson(name, text);
  if (!Array.isArray(entries) || entries.length > LIMITS_MAX) {
    throw new ReplayError(`${name}: must be a list of up to ${LIMITS_MAX} limits`);
  }
  const wishes = entries.map((entry, index) =>
    readEntry(new JsonFields(entry, (problem) => problems.push(`[${index}]${problem}`))),
  );
  if (problems.length > 0) throw new ReplayError(`${name}: ${problems.join("; ")}`);
  return wishes;
}

function parseJson(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ReplayError(`${name} is not JSON: ${(cause as Error).message}`, { cause });
  }
}

function readEntry(fields: JsonFields): LimitWish {
  fields.onlyHas(["account", "meter", "resource", "quota", "rate", "enforcement"]);
  const account = fields.text("account", /^(org|\*|[a-z0-9-]{1,63})$/, "must be org, * or a slug");
  const meter = fields.text("meter", METER_PATTERN, "must be the name of a meter");
  const resource = fields.text("resource", /^.{0,200}$/, "must be a pattern", "");
  const enforcement = fields.text("enforcement", /^(ENFORCE|WARN)$/, "must be ENFORCE or WARN", "ENFORCE");
  if (fields.has("quota") === fields.has("rate")) fields.wrong("", "must have either a quota or a rate");
  const allowance = fields.has("rate") ? readRate(fields.below("rate")) : readQuota(fields.below("quota"));
  return { account, meter, resource, allowance, enforcement: enforcement as LimitWish["enforcement"] };
}

function readQuota(fields: JsonFields): LimitWish["allowance"] {
  fields.onlyHas(["units", "window", "timeZone"]);
  const rule = `must be one of ${WINDOWS.join(", ").toLowerCase()}`;
  const window = fields.text("window", new RegExp(`^(${WINDOWS.join("|")})$`, "i"), rule);
  const timeZone = fields.text("timeZone", /^[\w+/-]{1,64}$/, "must be an IANA zone", "UTC");
  return {
    kind: "quota",
    units: fields.units("units", 0) ?? 0n,
    window: window.toUpperCase() as WindowName,
    timeZone,
  };
}

function readRate(fields: JsonFields): LimitWish["allowance"] {
  fields.onlyHas(["units", "interval", "burst"]);
  const interval = fields.text("interval", SPAN, "must be a number and ms, s, m or h, as in 10s");
  const [, count = "0", unit = "s"] = SPAN.exec(interval) ?? [];
  return {
    kind: "rate",
    units: fields.units("units", 1) ?? 0n,
    intervalMs: Number(count) * SPAN_MS[unit as keyof typeof SPAN_MS],
    burst: fields.has("burst") ? fields.units("burst", 1) : undefined,
  };
}
