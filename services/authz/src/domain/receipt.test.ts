import { expect, test, vi } from "vitest";
import { Receipt } from "./receipt.ts";

const late = new Error("the disk hangs");

test("who waits hears once, of what is known first", () => {
  const receipt = new Receipt();
  const answered = vi.fn();
  receipt.whenSettled(answered);
  receipt.late(late);
  receipt.settle(undefined);
  expect(answered.mock.calls).toEqual([[late]]);
});

test("who asks while it is late is told so, and afterwards what became of it", () => {
  const receipt = new Receipt();
  receipt.late(late);
  expect(receipt.isLate).toBe(true);
  const meanwhile = vi.fn();
  receipt.whenSettled(meanwhile);
  receipt.settle(undefined);
  const afterwards = vi.fn();
  receipt.whenSettled(afterwards);
  expect([meanwhile.mock.calls, afterwards.mock.calls]).toEqual([[[late]], [[undefined]]]);
  expect(receipt.isLate).toBe(false);
});

test("what is late has not failed until that is known", () => {
  const receipt = new Receipt();
  const failed = vi.fn();
  receipt.whenFailed(failed);
  receipt.late(late);
  expect(failed).not.toHaveBeenCalled();
  receipt.settle(new Error("EIO"));
  expect(failed).toHaveBeenCalledTimes(1);
});

test("being late after it was settled changes nothing", () => {
  const receipt = new Receipt();
  receipt.settle(undefined);
  receipt.late(late);
  const answered = vi.fn();
  receipt.whenSettled(answered);
  expect(answered.mock.calls).toEqual([[undefined]]);
});
