import fc from "fast-check";
import { expect, it } from "vitest";
import { csvFormat, parseCsvRow, parseMeterColumns } from "./csv.ts";

const meters = new Map([["tokens", "Tokens"]]);

it("reads back whatever a writer of RFC 4180 put into a line", () => {
  const field = fc.string().map((text) => text.replace(/[\r\n]/g, " "));
  fc.assert(
    fc.property(fc.array(field, { minLength: 1, maxLength: 8 }), (fields) => {
      const row = fields.map((text) => (/[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text));
      expect(parseCsvRow(row.join(","))).toEqual(fields);
    }),
  );
});

it.each([
  ['"a', "a quote is not closed"],
  ['"a"b,c', "a quoted field is not followed by a comma"],
  ['a"b,c', "a quote stands inside a field without quotes"],
])("refuses %j", (row, problem) => {
  expect(parseCsvRow(row)).toEqual({ problem });
});

it("counts the columns asked for, and tells which are not read", () => {
  const format = csvFormat("Model,TIMESTAMP,Tokens", { meters });
  expect(format).toMatchObject({ meters: ["tokens"], headerLines: 1 });
  expect(format.description).toContain("not read: Model");
  expect(format.parse("m,2023-11-16 18:15:46.6805900,374")).toEqual({
    timeMs: Date.UTC(2023, 10, 16, 18, 15, 46, 680),
    units: [374n],
  });
});

it.each([
  ["1,2", "has 2 fields, the header 3"],
  ["m,yesterday,1", "TIMESTAMP is not a time"],
  ["m,2023-02-30 00:00:00,1", "TIMESTAMP is not a time"],
  ["m,2023-11-16 18:15:46,-1", "Tokens is not a whole number"],
  ["m,2023-11-16 18:15:46,1.5", "Tokens is not a whole number"],
  ["m,2023-11-16 18:15:46,", "Tokens is not a whole number"],
  ["", "the line is empty"],
])("says why %j is no call", (row, problem) => {
  const { parse } = csvFormat("Model,TIMESTAMP,Tokens", { meters });
  expect(parse(row)).toEqual({ problem: expect.stringContaining(problem) });
});

it.each([
  ["1700158546", 1_700_158_546_000],
  ["1700158546.25", 1_700_158_546_250],
  ["1700158546250", 1_700_158_546_250],
  ["2023-11-16T18:15:46Z", Date.UTC(2023, 10, 16, 18, 15, 46)],
  ["2023-11-16T18:15:46+05:30", Date.UTC(2023, 10, 16, 12, 45, 46)],
])("takes %s as a time", (time, timeMs) => {
  expect(csvFormat("ts,x", { meters: new Map() }).parse(`${time},1`)).toMatchObject({ timeMs });
});

it("needs the columns that are named", () => {
  expect(() => csvFormat("a,b", { meters: new Map() })).toThrow("--time COLUMN is needed: one of a, b");
  expect(() => csvFormat("time,b", { meters })).toThrow("the CSV has no column Tokens; it has time, b");
  expect(parseMeterColumns("a=A, b=B C")).toEqual(new Map(Object.entries({ a: "A", b: "B C" })));
  for (const bad of ["a", "A=a", "requests=a", "a=A,a=B", ""]) {
    expect(() => parseMeterColumns(bad)).toThrow("--meters");
  }
});
