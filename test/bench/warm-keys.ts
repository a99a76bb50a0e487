/** Keys with limits, made through the API as a customer would, warm in authz; and calls of them as files. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  AuthzService,
  DecisionCode,
  VerifyRequestSchema,
  VerifyResponseSchema,
} from "@gatehouse/proto/authz";
import { AccountService, KeyService } from "@gatehouse/proto/identity";
import { CreditService, LimitService, Window } from "@gatehouse/proto/metering";
import { grpcClient } from "@gatehouse/service";
import type { Deployment } from "./deployment.ts";

export const KEYS = 1000;
/** A rate and a quota on each of key, account and organization, and the organization's wallet. */
export const BUCKETS_PER_CALL = 7;
const RESOURCE = "weather.read";
const PLENTY = 1_000_000_000n;
const currency = "USD";
/** Micros a call, of which the wallet holds enough for as many calls. */
const PRICE = 10n;
export const timely = { timeoutMs: 30_000 };

export interface WarmKeys {
  readonly keys: readonly { readonly id: string; readonly presented: string }[];
  /** A call of each key. */
  readonly requests: string;
  /** An answer. */
  readonly response: string;
}

/** An organization, its subaccounts and their keys, each with a rate and a quota; calls have a price that the organization pays. */
export async function makeKeys({
  rootKey,
  identity,
  authz,
  metering,
  directory,
}: Deployment): Promise<WarmKeys> {
  const headers = { "x-api-key": rootKey };
  const accounts = grpcClient(AccountService, identity, { headers });
  const keys = grpcClient(KeyService, identity, { headers });
  const limits = grpcClient(LimitService, metering, { headers });
  const credits = grpcClient(CreditService, metering, { headers });
  const verifier = grpcClient(AuthzService, authz, { headers });
  const limit = async (node: { case: "account" | "key"; value: string }) => {
    const rate = {
      case: "rate" as const,
      value: { units: PLENTY, interval: { seconds: 1n }, burst: PLENTY },
    };
    const quota = { case: "quota" as const, value: { units: PLENTY, window: Window.MONTH } };
    await limits.setLimit({ node, allowance: rate }, timely);
    await limits.setLimit({ node, allowance: quota }, timely);
  };
  const organization = (await accounts.createAccount({ name: "Bench" }, timely)).account!.id;
  await credits.setPrice({ currency, price: PRICE }, timely);
  const payment = { currency, amount: PRICE * PLENTY, reference: "bench", idempotencyKey: "bench" };
  await credits.topUp({ account: organization, ...payment }, timely);
  const made: { id: string; presented: string }[] = [];
  let account = "";
  for (let i = 0; i < KEYS; i++) {
    // A plan allows 100 keys an account.
    if (i % 100 === 0) {
      const created = await accounts.createAccount({ parent: organization, name: `Team ${i}` }, timely);
      account = created.account!.id;
      await limit({ case: "account", value: account });
      await credits.setBalanceSource({ account, usesParentBalance: true }, timely);
    }
    if (i % 100 === 99) continue;
    const { key, secret } = await keys.createKey(
      { account, name: `bench ${i}`, scopes: ["weather.**"] },
      timely,
    );
    await limit({ case: "key", value: key!.id });
    made.push({ id: key!.id, presented: secret });
  }
  await limit({ case: "account", value: organization });
  const paths = { requests: join(directory, "requests"), response: join(directory, "response") };
  await writeRequests(
    paths.requests,
    made.map(({ presented }) => presented),
  );
  let answer = await verifier.verify(requestOf(made[0]!.presented), timely);
  for (const { presented } of made) answer = await verifier.verify(requestOf(presented), timely);
  if (answer.code !== DecisionCode.VALID)
    throw new Error(`a warm-up call was answered ${DecisionCode[answer.code]}`);
  if (answer.cost[0]?.micros !== PRICE) throw new Error("a warm-up call was free");
  await writeFile(paths.response, Buffer.from(toBinary(VerifyResponseSchema, answer)).toString("base64"));
  for (const client of [accounts, keys, limits, credits, verifier]) client.close();
  return { keys: made, ...paths };
}

/** Writes a call of each presented key to a file, as the load reads them. */
export async function writeRequests(path: string, presented: readonly string[]): Promise<string> {
  const lines = presented.map((key) =>
    Buffer.from(toBinary(VerifyRequestSchema, requestOf(key))).toString("base64"),
  );
  await writeFile(path, lines.join("\n"));
  return path;
}

export function requestOf(key: string) {
  return create(VerifyRequestSchema, { key, resource: RESOURCE });
}
