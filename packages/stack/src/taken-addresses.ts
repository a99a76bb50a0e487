import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { type Address, joinAddress } from "@gatehouse/service";
import type { ServiceConfigs } from "./service-configs.ts";
import { StartError } from "./start-error.ts";

/**
 * Throws a StartError that names every address where a service cannot listen, and the variable that chooses
 * another. All are bound at once, so that one that is meant twice is found, too.
 */
export async function refuseTakenAddresses(configs: ServiceConfigs): Promise<void> {
  const probes: Server[] = [];
  const problems: string[] = [];
  for (const service of ["identity", "authz", "metering"] as const) {
    for (const side of ["grpc", "http"] as const) {
      const address = configs[service][side];
      const probe = createServer();
      const code = await listen(probe, address);
      probes.push(probe);
      if (code === undefined) continue;
      const variable = `GATEHOUSE_${service}_${side}`.toUpperCase();
      const why = code === "EADDRINUSE" ? "is taken" : `cannot be listened on (${code})`;
      problems.push(
        `${joinAddress(address.host, address.port)} ${why}; ${variable}=host:port chooses another`,
      );
    }
  }
  await Promise.all(probes.filter(({ listening }) => listening).map(close));
  if (problems.length > 0) throw new StartError(problems.join("\n"));
}

/** The code of what went wrong; undefined where it listens. */
async function listen(probe: Server, { host, port }: Address): Promise<string | undefined> {
  probe.listen(port, host);
  return once(probe, "listening").then(
    () => undefined,
    (error: NodeJS.ErrnoException) => error.code ?? error.message,
  );
}

async function close(probe: Server): Promise<void> {
  probe.close();
  await once(probe, "close");
}
