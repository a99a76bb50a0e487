import type { DescMethod } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import type { AttributeValue, Span } from "./span.ts";

/** OpenTelemetry's conventions for RPCs. What it says of peers' addresses is left out. */
export type RpcSystem = "grpc" | "connect_rpc";

/** `gatehouse.identity.v1.FeedService/ResolveKeys`: the name of both spans of a call, the caller's and ours. */
export function rpcSpanName({ parent, name }: DescMethod): string {
  return `${parent.typeName}/${name}`;
}

/** What is known of a call before it is made. */
export function rpcAttributes(method: DescMethod, system: RpcSystem): Record<string, AttributeValue> {
  return { "rpc.system": system, "rpc.service": method.parent.typeName, "rpc.method": method.name };
}

/** The span of a call to another service. */
export function beginClientSpan(parent: Span, method: DescMethod): Span {
  const span = parent.begin(rpcSpanName(method), "client");
  for (const [name, value] of Object.entries(rpcAttributes(method, "grpc"))) span.set(name, value);
  return span;
}

/** Ends either end's span with how the call ended. A server's refusals are no faults of its own. */
export function endRpcSpan(span: Span, code: number, isFault = code !== status.OK): void {
  span.set("rpc.grpc.status_code", code);
  span.end(isFault ? (status[code] ?? String(code)) : undefined);
}

/** The codes that say that a server failed, and not its caller. */
export function isServerFault(code: number): boolean {
  return SERVER_FAULTS.has(code);
}

const SERVER_FAULTS: ReadonlySet<number> = new Set([
  status.UNKNOWN,
  status.DEADLINE_EXCEEDED,
  status.UNIMPLEMENTED,
  status.INTERNAL,
  status.UNAVAILABLE,
  status.DATA_LOSS,
]);
