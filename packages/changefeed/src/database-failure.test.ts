import { unavailable } from "@gatehouse/service/failure";
import { QueryFailedError } from "typeorm";
import { expect, test } from "vitest";
import { databaseFailure, loggedDatabaseFailure } from "./database-failure.ts";

const failed = (code: string) => new QueryFailedError("SELECT", [], Object.assign(new Error("no"), { code }));

test("a statement that a newer schema has no place for is UNAVAILABLE, and says so", () => {
  for (const code of ["42P01", "42703", "42P10"]) {
    expect(databaseFailure(failed(code))).toMatchObject({
      code: "UNAVAILABLE",
      message: "the schema is newer than this replica",
      retryAfterMs: 1000,
    });
  }
});

test("a statement that is wrong by itself stays a fault", () => {
  for (const code of ["42601", "22023", "23505"]) {
    const fault = failed(code);
    expect(databaseFailure(fault)).toBe(fault);
  }
});

test("that the schema is newer is logged once in a while, wherever it was found", () => {
  const logged: object[] = [];
  let nowMs = 0;
  const translate = loggedDatabaseFailure({ error: (fields: object) => logged.push(fields) }, () => nowMs);
  const unfit = failed("42703");
  for (let i = 0; i < 50; i++) translate(unfit);
  nowMs = 10_000;
  translate(databaseFailure(unfit));
  translate(unavailable("the database did not answer", failed("08006")));
  translate(failed("22023"));
  expect(logged).toEqual([
    { err: unfit, times: 1 },
    { err: unfit, times: 50 },
  ]);
});
