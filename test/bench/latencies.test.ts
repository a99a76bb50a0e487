import { expect, it } from "vitest";
import { latenciesOf, latencyCells, ofLatencies } from "./latencies.ts";

it("latencies are those that so many of all calls did not exceed", () => {
  const us = Array.from({ length: 1001 }, (_, i) => 1000 - i);
  expect(latencyCells(latenciesOf(us))).toEqual([500, 990, 999]);
  expect(latencyCells(latenciesOf([7]))).toEqual([7, 7, 7]);
  expect(latencyCells(latenciesOf([]))).toEqual([Number.NaN, Number.NaN, Number.NaN]);
});

it("latencies of several rounds are picked number by number", () => {
  const rounds = [latenciesOf([1, 1, 9]), latenciesOf([2, 2, 2])];
  expect(latencyCells(ofLatencies(rounds, (values) => Math.max(...values)))).toEqual([2, 2, 2]);
});
