import { METER_NAME, type Principal } from "@gatehouse/access";
import { alreadyExists, Failure, notFound } from "@gatehouse/service/failure";
import { reliedOnBy, requireManager, stillAlive } from "./actor.ts";
import { audited, done } from "./audit.ts";
import type { Domain } from "./domain.ts";
import { Fields } from "./fields.ts";
import { MAX_METERS, type Meter } from "./meter.ts";

const NAME_RULE = "1 to 63 of a-z, 0-9 and _, the first a letter";
const METERS_GATE = "meters";

/** Declares a meter. Declaring it again as it is answers the one that is there. */
export function createMeter(
  domain: Domain,
  actor: Principal,
  request: { name: string; title: string; unit: string },
): Promise<{ meter: Meter; freshness: string }> {
  const fields = new Fields();
  fields.pattern("name", request.name, METER_NAME, NAME_RULE);
  fields.text("title", request.title, { max: 100 });
  fields.text("unit", request.unit, { max: 30 });
  fields.check();
  const attempt = { actor, action: "gatehouse.meters.create", target: request.name };
  return audited(domain, attempt, async () => {
    requireManager(actor);
    const { value, freshness } = await domain.store.change(async (change) => {
      await change.gate({ reliedOn: reliedOnBy(actor), changed: [METERS_GATE] });
      await stillAlive(domain, change, actor);
      const existing = await change.meters.find(request.name);
      if (existing !== undefined) return same(existing, request);
      if ((await change.meters.list()).length >= MAX_METERS) throw tooMany();
      const root = { path: actor.view.chain.slice(-1).map(({ id }) => id) };
      const meter = { ...request, createdAt: new Date(domain.nowMs()) };
      await change.meters.insert(meter);
      await change.audit(
        done(attempt, meter.createdAt, { target: meter.name, account: root, after: request }),
      );
      return meter;
    });
    return { meter: value, freshness };
  });
}

export async function getMeter(domain: Domain, name: string): Promise<Meter> {
  const fields = new Fields();
  fields.reference("meter", name, { required: true });
  fields.check();
  const meter = await domain.store.meters.find(name);
  if (meter === undefined) throw notFound("meter");
  return meter;
}

/** Every meter, by name. */
export function listMeters(domain: Domain): Promise<Meter[]> {
  return domain.store.meters.list();
}

function same(existing: Meter, { title, unit }: { title: string; unit: string }): Meter {
  if (existing.title === title && existing.unit === unit) return existing;
  throw alreadyExists("NAME_TAKEN", "a meter of that name has another title or unit");
}

function tooMany(): Failure {
  const message = `there are ${MAX_METERS} meters, which is all that there may be`;
  return new Failure({ code: "RESOURCE_EXHAUSTED", reason: "PLAN_LIMIT", message });
}
