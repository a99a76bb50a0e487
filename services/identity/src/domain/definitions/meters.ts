import { METER_NAME } from "@gatehouse/access";
import { failedPrecondition } from "@gatehouse/service/failure";
import { type Kind, title } from "./kind.ts";
import { REQUESTS } from "./meter.ts";

/** What is counted. Usage of a meter that is gone stays on record, so nothing keeps one from being deleted. */
export const METERS: Kind<"meter"> = {
  kind: "meter",
  what: "meter",
  many: "meters",
  scopes: "gatehouse.meters",
  naming: { pattern: METER_NAME, rule: "1 to 63 of a-z, 0-9 and _, the first a letter" },
  fields: { title, unit: (fields, field, value) => fields.text(field, value, { max: 30 }) },
  // Every call may charge every meter, so they stay few.
  most: 100,
  rule(_change, { name, after }) {
    if (after === undefined && name === REQUESTS.name) {
      throw failedPrecondition("IN_USE", `the meter ${name} is always there`);
    }
  },
};
