import type {
  DescMessage,
  DescMethod,
  DescService,
  Message,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type ChannelCredentials, Client, credentials, Metadata, status } from "@grpc/grpc-js";
import { targetOf } from "./address-list.ts";
import { answeringPeers } from "./answering-peers.ts";
import { failureFrom } from "./error-wire.ts";
import { Failure } from "./failure.ts";
import { grpcPath } from "./grpc-transport.ts";
import { REPLY_BYTES_MAX } from "./limits.ts";
import { beginClientSpan, endRpcSpan } from "./rpc-span.ts";
import type { Span } from "./span.ts";

/** CallHeaders to send, by lower-case name. */
export type CallHeaders = Readonly<Record<string, string>>;

/** Options of one unary call. */
export interface UnaryOptions {
  /** How long to wait, in milliseconds. Required: every wait has a deadline. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly headers?: CallHeaders | undefined;
  /**
   * Waits for a connection that is being made, within `timeoutMs`, instead of failing at once because the last attempt
   * at one did: so that a failure tells of now.
   */
  readonly waitsForConnection?: boolean | undefined;
  /** The span that the call is a part of: the other service's spans join it. */
  readonly trace?: Span | undefined;
}

/** Options of one stream; without `timeoutMs` it lasts until either side ends it. */
export type StreamOptions = Partial<UnaryOptions>;

type Method<M> = M extends { methodKind: infer K; input: infer I; output: infer O }
  ? I extends DescMessage
    ? O extends DescMessage
      ? K extends "unary"
        ? (request: MessageInitShape<I>, options: UnaryOptions) => Promise<MessageShape<O>>
        : K extends "server_streaming"
          ? (request: MessageInitShape<I>, options?: StreamOptions) => AsyncIterable<MessageShape<O>>
          : never
      : never
    : never
  : never;

/** A function for every RPC of a service, by the RPC's name in camel case. What they throw is a Failure. */
export type GrpcClient<S extends DescService> = {
  readonly [K in keyof S["method"]]: Method<S["method"][K]>;
} & {
  /** Closes the connections; calls still running fail. */
  close(): void;
};

/** Options of {@link grpcClient}. */
export interface ClientOptions {
  /** Sent with every call; a function is asked each time. */
  readonly headers?: CallHeaders | (() => CallHeaders) | undefined;
  /** Default: plaintext. */
  readonly credentials?: ChannelCredentials | undefined;
}

const CHANNEL_OPTIONS = {
  "grpc.max_receive_message_length": REPLY_BYTES_MAX,
  // grpc-js picks the first address otherwise, and the other replicas idle.
  "grpc.service_config": answeringPeers(),
  // grpc-js waits up to 2 min by default; a service that came back must be found well within a second.
  "grpc.initial_reconnect_backoff_ms": 50,
  "grpc.max_reconnect_backoff_ms": 250,
  // Asked again only when a connection is lost. 30 s by default, in which a rollout replaces every address.
  "grpc.dns_min_time_between_resolutions_ms": 1000,
  // A peer that vanished without a FIN is noticed within 15 s even while nothing is asked of it. Calls pass it over before.
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5000,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.enable_retries": 0,
  "grpc.enable_channelz": 0,
  // Channels with equal options otherwise share connections, and one client's close is felt by another.
  "grpc.use_local_subchannel_pool": 1,
};

/**
 * A client for calls between services, over grpc-js.
 *
 * @param address `host:port`, several of them separated by commas, or any name that grpc-js resolves, such as
 *   `dns:///metering:7103`. Calls go to all addresses in turn that can be reached, and that answer.
 */
export function grpcClient<S extends DescService>(
  service: S,
  address: string,
  options: ClientOptions = {},
): GrpcClient<S> {
  const client = new Client(
    targetOf(address),
    options.credentials ?? credentials.createInsecure(),
    CHANNEL_OPTIONS,
  );
  const common = options.headers;
  const methods = service.methods.map((method) => {
    const call =
      method.methodKind === "unary" ? unary(client, method, common) : stream(client, method, common);
    return [method.localName, call];
  });
  return { ...Object.fromEntries(methods), close: () => client.close() };
}

function unary(client: Client, method: DescMethod, common: ClientOptions["headers"]) {
  const path = grpcPath(method);
  const serialize = serializer(method.input);
  const deserialize = (bytes: Buffer) => fromBinary(method.output, bytes);
  return (
    request: object,
    { timeoutMs, signal, headers, waitsForConnection, trace }: UnaryOptions,
  ): Promise<Message> =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(cancelled());
        return;
      }
      const abort = () => call.cancel();
      const deadline = Date.now() + timeoutMs;
      const metadata = metadataOf(common, headers);
      if (waitsForConnection) metadata.setOptions({ waitForReady: true });
      const span = trace && clientSpan(trace, method, metadata);
      const call = client.makeUnaryRequest(
        path,
        serialize,
        deserialize,
        request,
        metadata,
        { deadline },
        (error, reply) => {
          signal?.removeEventListener("abort", abort);
          if (span !== undefined) endRpcSpan(span, error?.code ?? status.OK);
          if (error) {
            reject(failureFrom(error));
          } else {
            resolve(reply as Message);
          }
        },
      );
      signal?.addEventListener("abort", abort);
    });
}

function clientSpan(trace: Span, method: DescMethod, metadata: Metadata): Span {
  const span = beginClientSpan(trace, method);
  metadata.set("traceparent", span.traceparent);
  return span;
}

function stream(client: Client, method: DescMethod, common: ClientOptions["headers"]) {
  const path = grpcPath(method);
  const serialize = serializer(method.input);
  const deserialize = (bytes: Buffer) => fromBinary(method.output, bytes);
  return async function* (request: object, options: StreamOptions = {}): AsyncGenerator<Message> {
    const { signal, timeoutMs } = options;
    if (signal?.aborted) {
      throw cancelled();
    }
    const metadata = metadataOf(common, options.headers);
    const deadline = timeoutMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + timeoutMs;
    const call = client.makeServerStreamRequest(path, serialize, deserialize, request, metadata, {
      deadline,
    });
    const abort = () => call.cancel();
    signal?.addEventListener("abort", abort);
    try {
      yield* call as AsyncIterable<Message>;
    } catch (error) {
      throw failureFrom(error);
    } finally {
      signal?.removeEventListener("abort", abort);
      // The consumer may stop early; a late error has nobody to go to then, and must not crash the process.
      call.on("error", () => {});
      call.cancel();
    }
  };
}

function cancelled(): Failure {
  return new Failure({ code: "CANCELLED", reason: "SOURCE_UNAVAILABLE", message: "cancelled by the caller" });
}

function serializer(desc: DescMessage): (request: object) => Buffer {
  return (request) => {
    const bytes = toBinary(desc, create(desc, request as never) as Message);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

function metadataOf(common: ClientOptions["headers"], own: CallHeaders | undefined): Metadata {
  const metadata = new Metadata();
  for (const headers of [typeof common === "function" ? common() : common, own]) {
    for (const name in headers) {
      metadata.set(name, headers[name]!);
    }
  }
  return metadata;
}
