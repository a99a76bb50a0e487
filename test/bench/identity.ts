/**
 * identity over a million keys: what migrating them took, what pages of long lists cost as they advance, and how many
 * creates and resolves a second one process answers on one core.
 */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newEncryptionKey } from "@gatehouse/keys";
import { AccountService, FeedService, KeyService } from "@gatehouse/proto/identity";
import { grpcClient } from "@gatehouse/service";
import { discardPostgres, freePort, startPostgres } from "@gatehouse/stack";
import { end, fromRoot, MEASURED_CORE, serviceSecret, start, untilReady } from "./deployment.ts";
import { type Filled, fill } from "./identity-fill.ts";

const SECONDS = 5;
/** Pages at the beginning, in the middle and at the end of a list whose median time is shown. */
const SOME_PAGES = 10;
const timely = { timeoutMs: 30_000 };

export interface IdentityReport {
  readonly bench: "identity";
  readonly settings: Record<string, string | number>;
  readonly migrationSeconds: Readonly<Record<string, number>>;
  /** Milliseconds a page, by list. */
  readonly pages: Readonly<Record<string, { first: number; middle: number; last: number; pages: number }>>;
  readonly perSecond: Readonly<Record<string, number>>;
}

export async function benchIdentity({ keys = 1_000_000, accounts = 10_000 } = {}): Promise<IdentityReport> {
  const directory = await mkdtemp(join(tmpdir(), "gatehouse-bench-"));
  await chmod(directory, 0o755);
  const postgres = await startPostgres({ directory: join(directory, "postgres") });
  try {
    const filled = await fill({ url: postgres.url, keys, accounts });
    const [grpc, http] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
    const child = start(MEASURED_CORE, [fromRoot("services/identity/src/main.ts")], {
      GATEHOUSE_DATABASE_URL: postgres.url,
      GATEHOUSE_SERVICE_SECRET: serviceSecret,
      GATEHOUSE_PEPPERS: filled.pepper,
      GATEHOUSE_ENCRYPTION_KEYS: newEncryptionKey("1"),
      GATEHOUSE_DATA_DIRECTORY: directory,
      GATEHOUSE_IDENTITY_GRPC: grpc,
      GATEHOUSE_IDENTITY_HTTP: http,
      GATEHOUSE_LOG_LEVEL: "error",
    });
    try {
      await untilReady("identity", http);
      const settings = { node: process.version, keys, accounts, fsync: "on" };
      return {
        bench: "identity",
        settings,
        migrationSeconds: filled.migrationSeconds,
        ...(await measure(grpc, filled)),
      };
    } finally {
      await end(child);
    }
  } finally {
    await discardPostgres(postgres);
    await rm(directory, { recursive: true, force: true });
  }
}

async function measure(address: string, filled: Filled) {
  const { rootKey, crowdedAccount, ordinaryAccount, organization } = filled;
  const headers = { "x-api-key": rootKey };
  const accounts = grpcClient(AccountService, address, { headers });
  const keys = grpcClient(KeyService, address, { headers });
  const feed = grpcClient(FeedService, address, { headers: { authorization: `Bearer ${serviceSecret}` } });
  try {
    const keyIds: string[] = [];
    const pages = {
      "ListKeys of 500": await walk(async (pageToken) => {
        const page = await keys.listKeys({ account: crowdedAccount, pageSize: 500, pageToken }, timely);
        keyIds.push(...page.keys.slice(0, 10).map(({ id }) => id));
        return page.nextPageToken;
      }),
      "ListAccounts of 100": await walk(async (pageToken) => {
        const request = { parent: organization, descendants: true, pageSize: 100, pageToken };
        return (await accounts.listAccounts(request, timely)).nextPageToken;
      }),
    };
    let made = 0;
    const perSecond: Record<string, number> = {};
    const createKey = (account: string) => () => keys.createKey({ account, name: `made ${++made}` }, timely);
    for (const callers of [1, 16]) {
      perSecond[`CreateAccount, ${callers} callers`] = await rate(callers, () =>
        accounts.createAccount({ parent: organization, name: `Made ${++made}` }, timely),
      );
      perSecond[`CreateKey in one account, ${callers} callers`] = await rate(
        callers,
        createKey(ordinaryAccount),
      );
    }
    // What the plan has room for is counted, and here there is much to count.
    perSecond["CreateKey in the crowded account, 1 caller"] = await rate(1, createKey(crowdedAccount));
    const some = (count: number) =>
      Array.from({ length: count }, () => keyIds[Math.floor(Math.random() * keyIds.length)]!);
    for (const count of [1, 100]) {
      const calls = await rate(16, () => feed.resolveKeys({ keyIds: some(count) }, timely));
      perSecond[`keys by ResolveKeys of ${count}, 16 callers`] = calls * count;
    }
    return { pages, perSecond };
  } finally {
    for (const client of [accounts, keys, feed]) client.close();
  }
}

async function walk(next: (pageToken: string) => Promise<string>) {
  const tookMs: number[] = [];
  let token = "";
  do {
    const beganMs = performance.now();
    token = await next(token);
    tookMs.push(performance.now() - beganMs);
  } while (token !== "");
  // The very first page warms the connection and the compiler.
  const half = Math.floor(tookMs.length / 2);
  return {
    first: median(tookMs.slice(1, 1 + SOME_PAGES)),
    middle: median(tookMs.slice(half, half + SOME_PAGES)),
    last: median(tookMs.slice(-1 - SOME_PAGES, -1)),
    pages: tookMs.length,
  };
}

async function rate(callers: number, call: () => Promise<unknown>): Promise<number> {
  let calls = 0;
  const beganMs = performance.now();
  const run = async () => {
    for (; performance.now() - beganMs < SECONDS * 1000; calls++) await call();
  };
  await Promise.all(Array.from({ length: callers }, run));
  return calls / ((performance.now() - beganMs) / 1000);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** The report as a person reads it. */
export function identityTable({ settings, migrationSeconds, pages, perSecond }: IdentityReport): string {
  const shown = Object.entries(settings).map(([name, value]) => `${name} ${value}`);
  return [
    `identity (${shown.join(", ")})`,
    "",
    ...Object.entries(migrationSeconds).map(([name, s]) => `${name.padEnd(44)}${s.toFixed(2).padStart(9)} s`),
    "",
    `${"ms a page".padEnd(44)}    first   middle     last`,
    ...Object.entries(pages).map(
      ([name, { first, middle, last, pages }]) =>
        `${`${name}, ${pages} pages`.padEnd(44)}${[first, middle, last].map((ms) => ms.toFixed(1).padStart(9)).join("")}`,
    ),
    "",
    ...Object.entries(perSecond).map(([name, n]) => `${name.padEnd(44)}${n.toFixed(0).padStart(9)} /s`),
  ].join("\n");
}
