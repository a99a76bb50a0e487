import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";

/** The certificate that a client showed. */
export interface PeerCertificate {
  /** Whether it is of the CA that clients' certificates are to be of. */
  readonly isTrusted: boolean;
  /** It is good before this time, in Unix milliseconds: a connection may outlive it. */
  readonly expiresAtMs: number;
  /** Of its subject; undefined for none, and for more than one. */
  readonly commonName: string | undefined;
  /** Its URIs, of the subject's alternative names. */
  readonly uris: readonly string[];
}

// Reading one takes longer than a whole call.
const known = new WeakMap<Socket, PeerCertificate | undefined>();

/** The certificate that the other end of a connection showed; undefined for none, and where none was asked for. */
export function peerCertificateOf(socket: Socket): PeerCertificate | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  if (known.has(socket)) return known.get(socket);
  const certificate = read(socket);
  known.set(socket, certificate);
  return certificate;
}

function read(socket: TLSSocket): PeerCertificate | undefined {
  const shown = socket.getPeerX509Certificate();
  if (shown === undefined) return undefined;
  const { CN } = socket.getPeerCertificate().subject;
  return {
    isTrusted: socket.authorized,
    expiresAtMs: shown.validToDate.getTime(),
    commonName: typeof CN === "string" ? CN : undefined,
    uris: urisIn(shown.subjectAltName ?? ""),
  };
}

const NAME = /([^:,"]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/y;

/**
 * The URIs among alternative names as OpenSSL and Node write them, `DNS:a, URI:b`. A name that could be read in two ways
 * is in quotes; of those none is a URI that means anything to us. None where the list is not read to its end.
 */
export function urisIn(names: string): string[] {
  const uris: string[] = [];
  NAME.lastIndex = 0;
  while (NAME.lastIndex < names.length) {
    const match = NAME.exec(names);
    if (match === null) return [];
    const [, type, value] = match;
    if (type === "URI" && !value!.startsWith('"')) uris.push(value!);
  }
  return uris;
}
