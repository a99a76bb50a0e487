import { get as getPlain } from "node:http";
import { get as getTls } from "node:https";

/**
 * Exits 0 where the service of this container answers: `/healthz`, or the path given, such as `/readyz`.
 * A container runs one service, and does not say here which, nor whether it speaks TLS: whichever answers is it.
 */
const path = process.argv[2] ?? "/healthz";
const DEADLINE_MS = 3000;
const listening = { IDENTITY: "0.0.0.0:7201", AUTHZ: "0.0.0.0:7202", METERING: "0.0.0.0:7203" };

const answers = Object.entries(listening).flatMap(([service, fallback]) => {
  const address = process.env[`GATEHOUSE_${service}_HTTP`] || fallback;
  const port = Number(address.slice(address.lastIndexOf(":") + 1));
  // It is this container that is asked: its certificate is for those outside.
  const options = { host: "127.0.0.1", port, path, timeout: DEADLINE_MS, rejectUnauthorized: false };
  return [getPlain, getTls].map(
    (get) =>
      new Promise<void>((resolve, reject) => {
        const request = get(options, ({ statusCode }) => {
          if (statusCode === 200) resolve();
          else reject(new Error(`${service} is not well`));
        });
        request.on("error", reject);
        request.on("timeout", () => request.destroy(new Error(`${service} is silent`)));
      }),
  );
});

Promise.any(answers).then(
  () => process.exit(0),
  () => process.exit(1),
);
