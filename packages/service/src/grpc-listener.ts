import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { type Server, ServerCredentials } from "@grpc/grpc-js";
import { limitConnections } from "./limit-connections.ts";
import { type PeerCertificate, peerCertificateOf } from "./peer-certificate.ts";
import { optionsOf, type ServerTls } from "./tls.ts";

/** After the grace the sockets are destroyed; sessions have nothing left to be cut by then. */
const NEVER_MS = 60_000;

/**
 * The port of a grpc-js server. grpc-js binds ports of its own, but shows neither how many connections there are nor
 * when the last one has closed; it takes connections that others accepted, and treats them alike.
 */
export class GrpcListener {
  readonly #server: ReturnType<typeof createServer>;
  readonly #injector: ReturnType<Server["createConnectionInjector"]>;
  readonly #grpc: Server;
  readonly #sockets = new Set<Socket>();
  readonly #certificates = new Map<string, PeerCertificate>();

  /** Connections beyond `maxConnections` are closed as they come. */
  constructor(grpc: Server, tls: ServerTls | undefined, maxConnections: number) {
    this.#grpc = grpc;
    this.#injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
    const take = (socket: Socket) => this.#injector.injectConnection(socket);
    this.#server =
      tls === undefined
        ? createServer({ noDelay: true }, take)
        : createTlsServer({ ...optionsOf(tls), ALPNProtocols: ["h2"], noDelay: true }, (socket) => {
            this.#noteCertificate(socket);
            take(socket);
          });
    // The sockets below TLS: those that are shaking hands are connections, too.
    this.#server.prependListener("connection", (socket) => this.#note(socket));
    limitConnections(this.#server, maxConnections);
  }

  /** The certificates of the connections that are open, by the other end: `address:port`. */
  get certificates(): ReadonlyMap<string, PeerCertificate> {
    return this.#certificates;
  }

  /** Binds and returns the port, chosen by the system where `port` is 0. Rejects where it is taken. */
  async listen(host: string, port: number): Promise<number> {
    this.#server.listen(port, host);
    await once(this.#server, "listening");
    return (this.#server.address() as AddressInfo).port;
  }

  /** Takes no connection and, by GOAWAY, no stream any more; lets the running ones finish for `graceMs`, then cuts them. */
  async close(graceMs: number): Promise<void> {
    // Not by grpc-js, which cuts calls as if their callers had cancelled them: who loses its connection knows that it
    // does not know, and tries again.
    const cut = setTimeout(() => this.#destroySockets(), graceMs);
    await new Promise((resolve) => {
      this.#server.close(resolve);
      this.#injector.drain(graceMs + NEVER_MS);
    });
    clearTimeout(cut);
    this.#grpc.tryShutdown(() => {});
  }

  #note(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
  }

  #noteCertificate(socket: Socket): void {
    // grpc-js hears of a broken session; what breaks below it is no more than that.
    socket.on("error", () => {});
    const certificate = peerCertificateOf(socket);
    if (certificate === undefined) return;
    const peer = `${socket.remoteAddress}:${socket.remotePort}`;
    this.#certificates.set(peer, certificate);
    socket.once("close", () => this.#certificates.delete(peer));
  }

  #destroySockets(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
