import { redact } from "@gatehouse/keys";
import { configOrExit, createLog, Disposables, serveService, untilSignal } from "@gatehouse/service";
import { createIdentity, readIdentityConfig } from "./index.ts";
import { keepRootKey } from "./keep-root-key.ts";

const config = configOrExit(readIdentityConfig, process.env);
const { logLevel, keyPrefix, dataDirectory } = config;
const log = createLog({ name: "identity", level: logLevel, redactText: (text) => redact(text, keyPrefix) });
await using opened = new Disposables(log);
const create = async () => {
  const identity = await createIdentity(config, log);
  const { rootKey } = identity.bootstrapped;
  if (rootKey !== undefined)
    log.info({ path: await keepRootKey(rootKey, dataDirectory) }, "made the root key");
  return identity;
};
const { server } = await serveService({ name: "identity", config, create, log, opened });
server.setServing(true);
log.info({ signal: await untilSignal() }, "closing");
