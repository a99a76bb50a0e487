import { resolve } from "node:path";
import { config, optional, readConfig, untilSignal } from "@gatehouse/service";
import { startStack } from "./stack.ts";
import { welcome } from "./welcome.ts";

const spec = {
  directory: config.text("GATEHOUSE_DATA_DIRECTORY", ".gatehouse"),
  natsUrl: optional(config.text("GATEHOUSE_NATS_URL")),
  logLevel: config.choice("GATEHOUSE_LOG_LEVEL", ["debug", "info", "warn", "error", "silent"], "warn"),
};
const { directory, natsUrl, logLevel } = readConfig(process.env, spec);
// Before anything is started: a Ctrl-C from here on stops what was.
const signal = untilSignal();
const stack = await startStack({ directory: resolve(directory), natsUrl, logLevel });
console.log(welcome(stack));
console.log(`\n${await signal}: stopping`);
await stack.close();
