import type { Guard, Route } from "@gatehouse/service";

/** Turns what is thrown into what is to be answered. */
type Translate = (error: unknown) => unknown;

/** A route whose handlers throw what `translate` makes of their errors. */
export function translatedRoute<P>(route: Route<P>, translate: Translate): Route<P> {
  const handlers = Object.entries(route.handlers).map(([name, handler]) => [
    name,
    (...call: Parameters<typeof handler>) => {
      const result = handler.apply(route.handlers, call);
      return isStream(result) ? translatedStream(result, translate) : translated(result, translate);
    },
  ]);
  return { ...route, handlers: Object.fromEntries(handlers) };
}

/** The same for a guard. */
export function translatedGuard<P>(guard: Guard<P>, translate: Translate): Guard<P> {
  return (method, rule) => {
    const admit = guard(method, rule);
    return (call) => translated(admit(call), translate);
  };
}

function translated<T>(result: T | Promise<T>, translate: Translate): T | Promise<T> {
  if (!(result instanceof Promise)) return result;
  return result.catch((error: unknown) => {
    throw translate(error);
  });
}

async function* translatedStream<T>(stream: AsyncIterable<T>, translate: Translate): AsyncGenerator<T> {
  try {
    yield* stream;
  } catch (error) {
    throw translate(error);
  }
}

function isStream(result: unknown): result is AsyncIterable<unknown> {
  return typeof result === "object" && result !== null && Symbol.asyncIterator in result;
}
