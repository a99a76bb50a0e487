import { expect, it } from "vitest";
import { parseLogLine } from "./access-log.ts";

const start = '10.0.0.1 - jane [17/May/2015:10:05:03 +0200] "GET /a HTTP/1.1"';
const timeMs = Date.UTC(2015, 4, 17, 8, 5, 3);

it.each([
  ["a combined line", `${start} 200 203023 "http://a/b" "Mozilla/5.0 (X11)"`, 203023n],
  ["a common line", `${start} 200 203023`, 203023n],
  ["an answer without a body", `${start} 304 - "-" "-"`, 0n],
  ["more fields behind the agent", `${start} 200 5 "-" "-" 0.013 upstream`, 5n],
  ["escaped quotes", `10.0.0.1 - - [17/May/2015:08:05:03 +0000] "GET /\\"x\\\\" 200 7 "-" "a \\" b"`, 7n],
])("reads %s", (_, line, bytes) => {
  expect(parseLogLine(line)).toEqual({ timeMs, address: "10.0.0.1", units: [bytes] });
});

it("counts a call whose line was cut behind its size, and says that it is damaged", () => {
  for (const tail of ['"-" "Mozilla/5.0 (compatible; Googlebot/2.1', '"-', '"-" "a" b" "c', ""]) {
    const parsed = parseLogLine(`${start} 200 235 ${tail}`);
    expect(parsed).toMatchObject({ units: [235n] });
    if (tail !== '"-" "a" b" "c') expect(parsed).toMatchObject({ isDamaged: true });
  }
});

it.each([
  ["", "the line is empty"],
  ["garbage", "is not: address"],
  [`${start} 200`, "is not: address"],
  [`${start} 200 -5`, "is not: address"],
  [`${start} 200 12345678901234567`, "is not: address"],
  ['10.0.0.1 - - [17/May/2015:10:05:03 +0000] "GET /a 200 5', "is not: address"],
  ['10.0.0.1 - - [31/Feb/2015:10:05:03 +0000] "GET /" 200 5', "the time is not one of the calendar"],
  ['10.0.0.1 - - [01/Foo/2015:10:05:03 +0000] "GET /" 200 5', "the time is not one of the calendar"],
  ['10.0.0.1 - - [01/Jan/2015:24:05:03 +0000] "GET /" 200 5', "the time is not one of the calendar"],
])("says why %j is no call", (line, problem) => {
  expect(parseLogLine(line)).toEqual({ problem: expect.stringContaining(problem) });
});

it("takes time linear in the length of a hostile line", () => {
  const beganMs = performance.now();
  for (const piece of ['" ', "\\", '\\"', "[", " - ", '"-" "']) parseLogLine(start + piece.repeat(30_000));
  expect(performance.now() - beganMs).toBeLessThan(1000);
});
