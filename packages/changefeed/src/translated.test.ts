import type { Route } from "@gatehouse/service";
import { expect, it } from "vitest";
import { translatedRoute } from "./translated.ts";

it("a translated route fails in other words, and is otherwise as it was", async () => {
  const write = () => Buffer.alloc(0);
  const route = {
    service: { typeName: "some.Service" },
    handlers: {
      fails: async () => {
        throw new Error("in the words of the database");
      },
      async *streams() {
        yield 1;
        throw new Error("in the words of the database");
      },
    },
    writers: { fails: write },
  } as unknown as Route;
  const { service, handlers, writers } = translatedRoute(route, () => new Error("unavailable"));
  const call = [{}, {}] as unknown as [never, never];
  await expect(handlers.fails!(...call)).rejects.toThrow("unavailable");
  const seen: unknown[] = [];
  const reading = (async () => {
    for await (const each of handlers.streams!(...call) as AsyncIterable<unknown>) seen.push(each);
  })();
  await expect(reading).rejects.toThrow("unavailable");
  expect([service, seen, writers?.fails]).toEqual([route.service, [1], write]);
});
