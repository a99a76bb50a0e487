import type { EventEmitter } from "node:events";
import type { DescMethod } from "@bufbuild/protobuf";
import { Metadata, type ServerUnaryCall, type ServerWritableStream } from "@grpc/grpc-js";
import { plainAddress } from "./call.ts";
import type { OpenCall } from "./handlers.ts";
import type { PeerCertificate } from "./peer-certificate.ts";
import type { Span } from "./span.ts";

/** Either of grpc-js's calls that we serve. */
export type GrpcServerCall = ServerUnaryCall<Buffer, Buffer> | ServerWritableStream<Buffer, Buffer>;

/** The certificates of connections, by the other end as grpc-js names it: it shows no socket. */
export type PeerCertificates = ReadonlyMap<string, PeerCertificate>;

/** A {@link Call} over grpc-js. Everything is looked up when it is asked for: most calls ask for one header. */
export class GrpcCall implements OpenCall {
  principal: unknown = undefined;
  readonly method: DescMethod;
  readonly draining: AbortSignal;
  readonly trace: Span | undefined;
  readonly #call: GrpcServerCall;
  readonly #certificates: PeerCertificates;
  #headers: Metadata | undefined;
  #aborter: AbortController | undefined;

  constructor(
    method: DescMethod,
    draining: AbortSignal,
    call: GrpcServerCall,
    certificates: PeerCertificates,
    trace: Span | undefined,
  ) {
    this.method = method;
    this.draining = draining;
    this.trace = trace;
    this.#call = call;
    this.#certificates = certificates;
  }

  header(name: string): string | undefined {
    const value = this.#call.metadata.get(name)[0];
    return value === undefined || typeof value === "string" ? value : value.toString("base64");
  }

  get peerAddress(): string | undefined {
    const peer = this.#call.getPeer(); // "address:port", without brackets around IPv6
    return peer === "unknown" ? undefined : plainAddress(peer.slice(0, peer.lastIndexOf(":")));
  }

  get peerCertificate(): PeerCertificate | undefined {
    return this.#certificates.size === 0 ? undefined : this.#certificates.get(this.#call.getPeer());
  }

  get signal(): AbortSignal {
    if (this.#aborter === undefined) {
      const aborter = new AbortController();
      this.#aborter = aborter;
      if (this.#call.cancelled) {
        aborter.abort();
      } else {
        (this.#call as EventEmitter).once("cancelled", () => aborter.abort());
      }
    }
    return this.#aborter.signal;
  }

  get deadlineMs(): number | undefined {
    const deadline = Number(this.#call.getDeadline());
    return Number.isFinite(deadline) ? deadline : undefined;
  }

  get isAbandoned(): boolean {
    return this.#call.cancelled || Date.now() > Number(this.#call.getDeadline());
  }

  setHeader(name: string, value: string): void {
    this.#headers ??= new Metadata();
    this.#headers.set(name, value);
  }

  /** Sends the response headers if there are any; the transport calls it before the first message. */
  sendHeaders(): void {
    if (this.#headers !== undefined) {
      this.#call.sendMetadata(this.#headers);
      this.#headers = undefined;
    }
  }
}
