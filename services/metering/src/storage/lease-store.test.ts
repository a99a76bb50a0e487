import type { ChangeLog } from "@gatehouse/changefeed";
import type { EntityManager } from "typeorm";
import { expect, it } from "vitest";
import { AcquireLoop } from "../domain/acquire-loop.ts";
import { PostgresLeaseStore } from "./lease-store.ts";

it("does not try requests one by one where the connection was lost: they may have been lent to", async () => {
  const connect = () => Promise.reject(new Error("Connection terminated"));
  const manager = { queryRunner: { connect } } as unknown as EntityManager;
  const loop = new AcquireLoop(new PostgresLeaseStore({ manager }, {} as ChangeLog));
  const request = { holder: "authz-1/1", number: undefined, asks: [], reports: [] };
  const settled = await Promise.allSettled([loop.acquire(request), loop.acquire(request)]);
  expect(settled.map((each) => each.status === "rejected" && each.reason.code)).toEqual([
    "UNAVAILABLE",
    "UNAVAILABLE",
  ]);
  expect(loop.rounds).toBe(1);
});
