/** Loaded before a service's main, by NODE_OPTIONS: the wall clock of the process is ahead of the machine's. */
import { aheadMs } from "./clock-ahead.ts";

const { now } = Date;
Date.now = () => now() + aheadMs();
globalThis.Date = new Proxy(Date, {
  construct: (target, values, self) =>
    Reflect.construct(target, values.length === 0 ? [target.now()] : values, self),
});
