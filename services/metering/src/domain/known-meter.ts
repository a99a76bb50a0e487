import { METER_NAME } from "@gatehouse/access";
import { REQUESTS } from "./limit.ts";
import type { Mirror } from "./mirror.ts";

/** Is there a meter of this name? */
export async function isKnownMeter(mirror: Pick<Mirror, "hasMeter">, name: string): Promise<boolean> {
  return name === REQUESTS || (METER_NAME.test(name) && (await mirror.hasMeter(name)));
}
