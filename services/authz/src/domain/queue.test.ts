import * as fc from "fast-check";
import { expect, it } from "vitest";
import { Queue } from "./queue.ts";

interface Item {
  readonly name: number;
  older: Item | undefined;
  newer: Item | undefined;
}

it("is an array that is pushed to, shifted from and cut anywhere", () => {
  const step = fc.oneof(fc.constant("add" as const), fc.nat({ max: 10 }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const queue = new Queue<Item>();
      const model: Item[] = [];
      for (const [name, next] of steps.entries()) {
        if (next === "add") {
          const item = { name, older: undefined, newer: undefined };
          queue.add(item);
          model.push(item);
        } else if (model.length > 0) {
          const [item] = model.splice(next % model.length, 1);
          queue.remove(item!);
        }
        expect([queue.size, queue.oldest]).toEqual([model.length, model[0]]);
      }
      const left: Item[] = [];
      for (let item = queue.oldest; item !== undefined; item = queue.oldest) {
        left.push(item);
        queue.remove(item);
      }
      expect(left).toEqual(model);
    }),
  );
});
