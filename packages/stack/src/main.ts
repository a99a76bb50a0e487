import { resolve } from "node:path";
import { ConfigError, config, optional, readConfig, untilSignal } from "@gatehouse/service";
import { startStack } from "./stack.ts";
import { StartError } from "./start-error.ts";
import { welcome } from "./welcome.ts";

const spec = {
  directory: config.text("GATEHOUSE_DATA_DIRECTORY", ".gatehouse"),
  natsUrl: optional(config.text("GATEHOUSE_NATS_URL")),
  logLevel: config.choice("GATEHOUSE_LOG_LEVEL", ["debug", "info", "warn", "error", "silent"], "warn"),
};
// Before anything is started: a Ctrl-C from here on stops what was.
const stopping = new AbortController();
const stopped = untilSignal().then((signal) => {
  console.log(`\n${signal}: stopping`);
  stopping.abort();
});
try {
  const { directory, natsUrl, logLevel } = readConfig(process.env, spec);
  const options = { natsUrl, logLevel, environment: process.env, signal: stopping.signal };
  const stack = await startStack({ directory: resolve(directory), ...options });
  console.log(welcome(stack));
  await stopped;
  await stack.close();
} catch (error) {
  // A start that was interrupted fails by whatever it was at; it has stopped what it had started.
  if (!stopping.signal.aborted) {
    const isForThePerson = error instanceof StartError || error instanceof ConfigError;
    console.error(isForThePerson ? error.message : error);
    process.exitCode = 1;
  }
}
