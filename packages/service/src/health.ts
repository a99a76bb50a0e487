import type { Server, ServerWritableStream, UntypedServiceImplementation } from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";

/** grpc.health.v1.Health for a set of services and, under the empty name, the whole process. */
export class Health {
  readonly #names: readonly string[];
  readonly #implementation: HealthImplementation;
  readonly #watchers = new Set<ServerWritableStream<unknown, unknown>>();

  /** Starts as NOT_SERVING. */
  constructor(services: readonly string[]) {
    this.#names = ["", ...services];
    this.#implementation = new HealthImplementation(
      Object.fromEntries(this.#names.map((name) => [name, "NOT_SERVING"])),
    );
  }

  setServing(serving: boolean): void {
    for (const name of this.#names) {
      this.#implementation.setStatus(name, serving ? "SERVING" : "NOT_SERVING");
    }
  }

  addToServer(server: Server): void {
    this.#implementation.addToServer({
      addService: (definition: never, handlers: UntypedServiceImplementation) => {
        const watch = handlers.watch as (call: ServerWritableStream<unknown, unknown>) => void;
        server.addService(definition, {
          ...handlers,
          watch: (call: ServerWritableStream<unknown, unknown>) => {
            this.#watchers.add(call);
            call.once("cancelled", () => this.#watchers.delete(call));
            watch(call);
          },
        });
      },
    } as Parameters<HealthImplementation["addToServer"]>[0]);
  }

  /** Ends the watch streams, which otherwise hold a closing server open until it is forced. */
  endWatches(): void {
    for (const call of this.#watchers) {
      call.end();
    }
    this.#watchers.clear();
  }
}
