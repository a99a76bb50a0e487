import { type DescMethod, type DescService, fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import * as authz from "@gatehouse/proto/authz";
import { Caller } from "@gatehouse/proto/common";
import * as envoy from "@gatehouse/proto/envoy";
import * as identity from "@gatehouse/proto/identity";
import * as metering from "@gatehouse/proto/metering";
import { accessRule, Failure, grpcClient } from "@gatehouse/service";
import { timely } from "./caller.ts";
import { badFieldsIn, reasonIn } from "./json-call.ts";
import type { ServiceProcess } from "./service-process.ts";
import type { System } from "./system.ts";
import { tryAgain } from "./try-again.ts";

/** A call that did not succeed, whichever way it went. */
export class Refused extends Error {
  /** The gRPC code's name. */
  readonly code: string;
  readonly reason: string;
  readonly fields: readonly string[];

  constructor(method: string, code: string, reason: string, fields: readonly string[]) {
    super(`${method}: ${code} (${reason}) ${fields.join(", ")}`);
    this.code = code;
    this.reason = reason;
    this.fields = fields;
  }
}

/**
 * Makes one call and answers it as JSON; throws {@link Refused}. `method` is `identity.v1.KeyService/CreateKey`.
 */
// biome-ignore lint/suspicious/noExplicitAny: what a client without our types sees.
export type Transport = (key: string, method: string, body: object) => Promise<any>;

/** POST, JSON and a header: what curl does. */
export function overJson(system: System): Transport {
  return async (key, method, body) => {
    return tryAgain(async () => {
      const answer = await system.json(key, method, body);
      if (answer.status === 200) return answer.body;
      throw new Refused(method, answer.body.code.toUpperCase(), reasonIn(answer) ?? "", badFieldsIn(answer));
    });
  };
}

/** gRPC, by the same names. */
export function overGrpc(system: System): Transport {
  return async (key, name, body) => {
    const method = methodNamed(name);
    const client = grpcClient(method.parent, processOf(system, method).grpcAddress, {
      headers: { "x-api-key": key },
    });
    const call = client[method.localName] as unknown as (request: object, options: object) => Promise<never>;
    try {
      const reply = await tryAgain(() => call(fromJson(method.input, body as JsonValue), timely));
      return toJson(method.output, reply, { alwaysEmitImplicit: true });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      throw new Refused(
        name,
        error.code,
        error.reason,
        error.violations.map(({ field }) => field),
      );
    } finally {
      client.close();
    }
  };
}

/** Every RPC of every service. */
export function allMethods(): readonly DescMethod[] {
  return [authz, identity, metering, envoy]
    .flatMap((module) => Object.values(module) as { readonly kind?: string }[])
    .filter((each): each is DescService => each.kind === "service")
    .flatMap(({ methods }) => methods);
}

/** Every RPC that people and backends call. */
export function publicMethods(): readonly DescMethod[] {
  return allMethods().filter((method) => accessRule(method).caller !== Caller.SERVICE);
}

/** `identity.v1.KeyService/CreateKey`; what is not Gatehouse's own begins with its owner. */
export function nameOf({ parent, name }: DescMethod): string {
  return `${parent.typeName.replace("gatehouse.", "")}/${name}`;
}

function methodNamed(name: string): DescMethod {
  const found = publicMethods().find((method) => nameOf(method) === name);
  if (found === undefined) throw new Error(`no RPC ${name}`);
  return found;
}

/** The process that serves an RPC; of authz's replicas the first. */
export function processOf(system: System, { parent }: DescMethod): ServiceProcess {
  switch (parent.typeName.split(".")[1]) {
    case "identity":
      return system.identity;
    case "metering":
      return system.metering;
    default:
      return system.replicas[0]!.process;
  }
}
