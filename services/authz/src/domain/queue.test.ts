import * as fc from "fast-check";
import { expect, it } from "vitest";
import { Queue } from "./queue.ts";

interface Item {
  readonly name: number;
  older: Item | undefined;
  newer: Item | undefined;
}

it("is an array that is pushed to, shifted from, and changed or cut anywhere", () => {
  const step = fc.oneof(
    fc.constant("add" as const),
    fc.record({ at: fc.nat({ max: 10 }), isReplaced: fc.boolean() }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const queue = new Queue<Item>();
      const model: Item[] = [];
      for (const [name, next] of steps.entries()) {
        if (next === "add") {
          const item = newItem(name);
          queue.add(item);
          model.push(item);
        } else if (model.length > 0) {
          const by = next.isReplaced ? [newItem(name)] : [];
          const [item] = model.splice(next.at % model.length, 1, ...by);
          if (by[0] === undefined) queue.remove(item!);
          else queue.replace(item!, by[0]);
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

function newItem(name: number): Item {
  return { name, older: undefined, newer: undefined };
}
