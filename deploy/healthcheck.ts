/**
 * Exits 0 where the service of this container answers: `/healthz`, or the path given, such as `/readyz`.
 * A container runs one service, and does not say here which: whichever answers is it.
 */
const path = process.argv[2] ?? "/healthz";
const DEADLINE_MS = 3000;
const listening = { IDENTITY: "0.0.0.0:7201", AUTHZ: "0.0.0.0:7202", METERING: "0.0.0.0:7203" };

const answers = Object.entries(listening).map(async ([service, fallback]) => {
  const address = process.env[`GATEHOUSE_${service}_HTTP`] || fallback;
  const port = address.slice(address.lastIndexOf(":") + 1);
  const { ok } = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(DEADLINE_MS) });
  if (!ok) throw new Error(`${service} is not well`);
});

Promise.any(answers).then(
  () => process.exit(0),
  () => process.exit(1),
);
