import type { DescMethod, DescService, Message, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { getOption } from "@bufbuild/protobuf";
import { type Access, access, Caller } from "@gatehouse/proto/common";
import type { Call, Later } from "./call.ts";
import { abandoned, invalid } from "./failure.ts";

/** What a unary handler may return. A plain value is answered at once, without a promise. */
export type Reply<T> = T | Promise<T> | Later<T>;

type Handler<M, P> = M extends { methodKind: infer K; input: infer I; output: infer O }
  ? I extends DescMethod["input"]
    ? O extends DescMethod["output"]
      ? K extends "unary"
        ? (request: MessageShape<I>, call: Call<P>) => Reply<MessageInitShape<O>>
        : K extends "server_streaming"
          ? (request: MessageShape<I>, call: Call<P>) => AsyncIterable<MessageInitShape<O>>
          : never
      : never
    : never
  : never;

/** A handler for every RPC of a service, by the RPC's name in camel case. P is what the guard returns. */
export type Handlers<S extends DescService, P = unknown> = {
  [K in keyof S["method"]]: Handler<S["method"][K], P>;
};

/**
 * Writers of replies, for RPCs so hot that the general one is felt. What one returns is `toBinary` of the reply, and may
 * be a view that the next call overwrites.
 */
export type Writers<S extends DescService> = {
  [K in keyof S["method"]]?: (reply: MessageShape<S["method"][K]["output"]>) => Buffer;
};

/** A service and its handlers, ready to be served. Made by {@link route}. */
export interface Route<P = unknown> {
  readonly service: DescService;
  readonly handlers: Readonly<Record<string, (request: never, call: Call<P>) => unknown>>;
  readonly writers?: Readonly<Record<string, ((reply: never) => Buffer) | undefined>>;
}

/** Pairs a service with its handlers. Throws where one is missing, or where an RPC streams requests. */
export function route<S extends DescService, P = unknown>(
  service: S,
  handlers: Handlers<S, P>,
  writers: Writers<S> = {},
): Route<P> {
  const table = handlers as unknown as Route<P>["handlers"];
  for (const method of service.methods) {
    if (method.methodKind !== "unary" && method.methodKind !== "server_streaming") {
      throw new Error(`${method.parent.typeName}/${method.name}: streams of requests are not served`);
    }
    if (typeof table[method.localName] !== "function") {
      throw new Error(`${method.parent.typeName}/${method.name} has no handler`);
    }
  }
  return { service, handlers: table, writers: writers as NonNullable<Route<P>["writers"]> };
}

/**
 * The one place that decides who may call. It is asked for each RPC (once by each transport) at start, with the RPC's access rule,
 * and throws where it cannot enforce the rule; what it returns runs before every call of the RPC and throws a
 * Failure or returns the principal, which the handler finds as `call.principal`. Returning it synchronously
 * costs no promise.
 */
export type Guard<P = unknown> = (
  method: DescMethod,
  rule: Access,
) => (call: Call<undefined>) => P | Promise<P>;

/** The access rule of an RPC. Throws where the proto states none, so that such a service does not start. */
export function accessRule(method: DescMethod): Access {
  const rule = getOption(method, access);
  if (rule.caller === Caller.UNSPECIFIED) {
    throw new Error(`${method.parent.typeName}/${method.name} states no access rule`);
  }
  return rule;
}

/** A call as the transports make it: the guard's answer is put into it. */
export type OpenCall = Call<unknown> & { principal: unknown };

/** Runs one unary call. `done` is called exactly once, in the same turn when nothing had to be waited for. */
export type Unary = (request: Message, call: OpenCall, done: Done) => void;

/** An error (anything but undefined and null), or the reply: a message or what `create` makes one of. */
export type Done = (error: unknown, value?: object) => void;

/** Guard and handler of a unary RPC as one function. */
export function guardedUnary<P>(route: Route<P>, method: DescMethod, guard: Guard<P>): Unary {
  const rule = accessRule(method);
  const admit = guard(method, rule);
  const handler = route.handlers[method.localName]!.bind(route.handlers) as (
    r: Message,
    c: OpenCall,
  ) => unknown;

  function run(request: Message, call: OpenCall, principal: P, done: Done): void {
    let reply: unknown;
    try {
      refuseAbandoned(call);
      refuseUnknownFields(request, rule);
      call.principal = principal;
      reply = handler(request, call);
    } catch (error) {
      done(thrown(error));
      return;
    }
    if (isPromise(reply)) {
      reply.then(
        (value) => done(undefined, value as object),
        (error) => done(thrown(error)),
      );
    } else if (isLater(reply)) {
      reply.whenReady(done);
    } else {
      done(undefined, reply as object);
    }
  }

  return (request, call, done) => {
    let principal: P | Promise<P>;
    try {
      principal = admit(call as Call<undefined>);
    } catch (error) {
      done(thrown(error));
      return;
    }
    if (isPromise(principal)) {
      const admitting = call.trace?.begin("admit");
      principal.then(
        (value) => {
          admitting?.end();
          run(request, call, value as P, done);
        },
        (error) => {
          admitting?.end("refused");
          done(thrown(error));
        },
      );
    } else {
      run(request, call, principal, done);
    }
  };
}

/** Guard and handler of a server-streaming RPC as one function. */
export function guardedStream<P>(
  route: Route<P>,
  method: DescMethod,
  guard: Guard<P>,
): (request: Message, call: OpenCall) => AsyncGenerator<object> {
  const rule = accessRule(method);
  const admit = guard(method, rule);
  const handler = route.handlers[method.localName]!.bind(route.handlers) as (
    request: Message,
    call: OpenCall,
  ) => AsyncIterable<object>;
  return async function* (request, call) {
    call.principal = await admit(call as Call<undefined>);
    refuseAbandoned(call);
    refuseUnknownFields(request, rule);
    yield* handler(request, call);
  };
}

// It waited in a queue of the kernel, or for its principal, and nobody waits for it any more.
function refuseAbandoned(call: OpenCall): void {
  if (call.isAbandoned) throw abandoned();
}

// A client that sends a field we do not know asked for something that we would silently leave undone. Between
// our own services it is the opposite: while a new version rolls out, the old one must take what the new sends. A
// protocol that is somebody else's has fields that we leave out on purpose.
function refuseUnknownFields(request: Message, rule: Access): void {
  if (request.$unknown === undefined || request.$unknown.length === 0) return;
  if (rule.caller !== Caller.SERVICE && request.$typeName.startsWith("gatehouse.")) {
    throw invalid(
      request.$unknown.map(({ no }) => ({ field: `#${no}`, description: "no such field in this version" })),
    );
  }
}

// `throw undefined` must not read as success.
function thrown(error: unknown): unknown {
  return error ?? new Error("nothing was thrown");
}

function isPromise(value: unknown): value is Promise<unknown> {
  return typeof (value as { then?: unknown } | undefined)?.then === "function";
}

function isLater(value: unknown): value is Later<object> {
  return typeof (value as { whenReady?: unknown } | undefined)?.whenReady === "function";
}
