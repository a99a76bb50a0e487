import { Window } from "@gatehouse/proto/metering";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ReceivedSpan, TraceReceiver } from "../../packages/service/src/testing/trace-receiver.ts";
import { timely } from "../system/caller.ts";
import { makeOrganization, type Organization } from "../system/organization.ts";
import { scrape } from "../system/scrape.ts";
import { type System, startSystem } from "../system/system.ts";
import { until } from "../system/until.ts";
import { ask, askUntilValid } from "../system/verifying.ts";

/** The way of one call through the deployment, as a collector of traces gets it from three services. */

const VERIFY = "gatehouse.authz.v1.AuthzService/Verify";
const RESOLVE = "gatehouse.identity.v1.FeedService/ResolveKeys";
const ACQUIRE = "gatehouse.metering.v1.LeaseService/Acquire";

let receiver: TraceReceiver;
let system: System;
let organization: Organization;

/** A trace id of the test's own: the spans of a call that carries it are its own, and nobody else's. */
let traces = 0;
function newParent(flags = "01"): { traceId: string; traceparent: string } {
  const traceId = (++traces).toString(16).padStart(32, "a");
  return { traceId, traceparent: `00-${traceId}-00f067aa0ba902b7-${flags}` };
}

const spansOf = (traceId: string): readonly ReceivedSpan[] =>
  receiver.spans.filter((span) => span.traceId === traceId);
const childrenOf = ({ spanId }: ReceivedSpan): readonly ReceivedSpan[] =>
  receiver.spans.filter(({ parentSpanId }) => parentSpanId === spanId);

/** The one span of a trace with this name, at this service. */
function theSpan(traceId: string, name: string, kind: ReceivedSpan["kind"]): ReceivedSpan {
  const found = spansOf(traceId).filter((span) => span.name === name && span.kind === kind);
  expect(
    found.map(({ service }) => service),
    `${kind} ${name}`,
  ).toHaveLength(1);
  return found[0]!;
}

async function start(ratio: string): Promise<System> {
  const environment = { GATEHOUSE_TRACE_ENDPOINT: receiver.url, GATEHOUSE_TRACE_RATIO: ratio };
  return startSystem({ replicas: [{}], environment });
}

async function setQuota(account: string): Promise<void> {
  const allowance = { case: "quota", value: { units: 1_000_000n, window: Window.NEVER } } as const;
  await system.root.limits.setLimit({ node: { case: "account", value: account }, allowance }, timely);
}

beforeAll(async () => {
  receiver = await TraceReceiver.start();
  system = await start("0");
  organization = await makeOrganization(system, "Traced", ["one", "two", "three", "four"]);
  await setQuota(organization.id);
  // The verifier's own key, the meters, and metering's knowledge of these accounts: not what is looked at here.
  await askUntilValid(system.root, 0, { key: organization.subaccounts[0]!.key.secret });
}, 120_000);

afterAll(async () => {
  await system?.stop();
  await receiver.stop();
}, 120_000);

describe("a cold Verify that its caller has traced", () => {
  test("is one trace: authz, what it waited for, and there identity's and metering's own spans", async () => {
    const { traceId, traceparent } = newParent();
    const { secret } = organization.subaccounts[1]!.key;
    await system.root.authz[0]!.verify({ key: secret }, { ...timely, headers: { traceparent } });
    await until(
      "the spans of both sources",
      () => spansOf(traceId).filter(({ kind }) => kind === "server").length >= 3,
    );

    const verify = theSpan(traceId, VERIFY, "server");
    expect(verify).toMatchObject({
      service: "authz",
      parentSpanId: "00f067aa0ba902b7",
      attributes: { "rpc.system": "grpc", "rpc.grpc.status_code": 0, "gatehouse.decision_code": "VALID" },
    });
    for (const [waiting, rpc, service] of [
      ["read key", RESOLVE, "identity"],
      ["acquire units", ACQUIRE, "metering"],
    ] as const) {
      const below = childrenOf(verify).filter(({ name }) => name === waiting);
      expect(below.length, waiting).toBeGreaterThan(0);
      const client = theSpan(traceId, rpc, "client");
      const server = theSpan(traceId, rpc, "server");
      expect(below.map(({ spanId }) => spanId)).toContain(client.parentSpanId);
      expect([client.service, server.service]).toEqual(["authz", service]);
      expect(server.parentSpanId).toBe(client.spanId);
    }
  });

  test("shares a read with another: each has its own wait, the read is a part of the first and linked by the second", async () => {
    const parents = [newParent(), newParent()];
    const { secret } = organization.subaccounts[2]!.key;
    const headers = (i: number) => ({ traceparent: parents[i]!.traceparent });
    const link = system.replicas[0]!.links.identity;
    // So that neither is answered before the other has come.
    link.slow(100);
    try {
      await Promise.all(
        parents.map((_, i) =>
          system.root.authz[0]!.verify({ key: secret }, { ...timely, headers: headers(i) }),
        ),
      );
    } finally {
      link.mend();
    }
    const waits = (i: number) => spansOf(parents[i]!.traceId).filter(({ name }) => name === "read key");
    await until("both waits", () => waits(0).length > 0 && waits(1).length > 0);
    await until("the read", () =>
      parents
        .flatMap(({ traceId }) => spansOf(traceId))
        .some(({ name, kind }) => name === RESOLVE && kind === "server"),
    );
    const reads = parents
      .flatMap(({ traceId }) => spansOf(traceId))
      .filter(({ name, kind }) => name === RESOLVE && kind === "client");
    expect(reads).toHaveLength(1);
    const carrier = parents.findIndex(({ traceId }) => traceId === reads[0]!.traceId);
    expect(reads[0]!.parentSpanId).toBe(waits(carrier)[0]!.spanId);
    expect(waits(1 - carrier)[0]!.links).toEqual([waits(carrier)[0]!.spanId]);
  });

  test("says how it ended where identity is out of reach, and what it could not get", async () => {
    const { traceId, traceparent } = newParent();
    const { secret } = organization.subaccounts[3]!.key;
    const link = system.replicas[0]!.links.identity;
    link.cut();
    try {
      const answer = system.root.authz[0]!.verify({ key: secret }, { ...timely, headers: { traceparent } });
      await answer;
      await until("its span", () => spansOf(traceId).some(({ name }) => name === VERIFY));
    } finally {
      link.mend();
    }
    expect(theSpan(traceId, VERIFY, "server").attributes).toMatchObject({
      "gatehouse.decision_code": "INDETERMINATE",
    });
    await until(
      "identity is followed again",
      async () => (await ask(system.root, 0, { key: secret })).code === "VALID",
    );
  });
});

describe("what spans say", () => {
  test("names no key, no id, no secret and no address (P6)", () => {
    const text = Buffer.concat(receiver.bodies).toString("latin1");
    expect(text).toContain("gatehouse.decision_code");
    const { id, slug, key, subaccounts } = organization;
    const hidden = [system.root.secret, system.serviceSecret, id, slug, key.id, key.secret, "127.0.0.1"];
    for (const each of subaccounts) hidden.push(each.id, each.slug, each.key.id, each.key.secret);
    for (const each of hidden) expect(text.includes(each), each.slice(0, 8)).toBe(false);
  });

  test("is of nothing that nobody asked to be traced, with a ratio of 0", async () => {
    const { traceId, traceparent } = newParent("00");
    const { secret } = organization.subaccounts[0]!.key;
    const sent = newParent();
    await system.root.authz[0]!.verify({ key: secret }, timely);
    await system.root.authz[0]!.verify({ key: secret }, { ...timely, headers: { traceparent } });
    await system.root.authz[0]!.verify(
      { key: secret },
      { ...timely, headers: { traceparent: sent.traceparent } },
    );
    await until("what came after them", () => spansOf(sent.traceId).length > 0);
    expect(spansOf(traceId)).toEqual([]);
    expect(receiver.spans.filter(({ traceId }) => !traceId.startsWith("aaaa"))).toEqual([]);
  });
});

describe("with a ratio of 1", () => {
  test("calls are traced that say nothing; what ends with the service is sent at its end", async () => {
    await system.stop();
    receiver.spans.length = 0;
    system = await start("1");
    organization = await makeOrganization(system, "Traced", ["one"]);
    await askUntilValid(system.root, 0, { key: organization.subaccounts[0]!.key.secret });
    const { replicas, identity, metering } = system;
    await until("spans were sent", async () => {
      const shown = await scrape(replicas[0]!.process);
      return shown.value("gatehouse_trace_spans_total", { outcome: "exported" }) > 0;
    });
    await system.stop();
    const roots = receiver.spans.filter(({ name, parentSpanId }) => name === VERIFY && parentSpanId === "");
    expect(roots.length).toBeGreaterThan(0);
    expect(new Set(receiver.spans.map(({ service }) => service))).toEqual(
      new Set(["identity", "authz", "metering"]),
    );
    const creations = receiver.spans.filter(({ name }) => name.endsWith("AccountService/CreateAccount"));
    expect(creations).toHaveLength(2);
    expect(
      [identity, metering].map(({ log }) => log.filter((line) => line.includes("closing failed"))),
    ).toEqual([[], []]);
  }, 120_000);
});
