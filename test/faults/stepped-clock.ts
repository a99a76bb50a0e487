/**
 * Loaded before a service's main, by NODE_OPTIONS: the process has a wall clock that is ahead of the machine's by as many
 * milliseconds as the file says that CLOCK_AHEAD_IN names. A file that is just being written says none, one step more.
 */
import { readFileSync } from "node:fs";

const path = process.env.CLOCK_AHEAD_IN!;
const { now } = Date;
Date.now = () => now() + Number(readFileSync(path, "utf8"));
globalThis.Date = new Proxy(Date, {
  construct: (target, values, self) =>
    Reflect.construct(target, values.length === 0 ? [target.now()] : values, self),
});
