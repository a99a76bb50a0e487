import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext, type TlsOptions } from "node:tls";
import { type Environment, optional, Secret, type Setting, setting } from "./setting.ts";

/** What listeners show and ask for. Each is PEM. */
export interface ServerTls {
  /** A chain, the service's own certificate first. */
  readonly cert: string;
  readonly key: Secret;
  /** The CA of clients' certificates. Undefined: clients are asked for none. */
  readonly clientCa: string | undefined;
}

/** The variables that name the files; without `clientCa` clients are never asked for certificates. */
export interface ServerTlsNames {
  readonly cert: string;
  readonly key: string;
  readonly clientCa?: string;
}

/** TLS for a service's listeners, read from files at start; undefined, which is plaintext, where none is named. */
export function serverTls(names: ServerTlsNames): Setting<ServerTls | undefined> {
  return {
    name: names.cert,
    read(env) {
      const cert = fileOf(names.cert, env);
      const key = fileOf(names.key, env);
      const clientCa = names.clientCa === undefined ? undefined : fileOf(names.clientCa, env);
      if (cert === undefined && key === undefined && clientCa === undefined) return undefined;
      if (cert === undefined || key === undefined) throw new Error(`and ${names.key} are given together`);
      const tls = { cert, key: new Secret(key), clientCa };
      try {
        // An empty list would be taken for none, and every public CA be trusted.
        if (clientCa !== undefined) new X509Certificate(clientCa);
        createSecureContext(optionsOf(tls));
      } catch {
        throw new Error(`and what goes with it are not PEM, or ${names.key} is not the certificate's`);
      }
      return tls;
    },
  };
}

/** A client that has not said hello by then is let go. */
const HANDSHAKE_MS = 10_000;

/**
 * What Node's servers take. A client without a certificate, or with one of another CA, is let in so far that it can
 * present a key, and so that its refusal says why: what a certificate stands for is up to the guard.
 */
export function optionsOf({ cert, key, clientCa }: ServerTls): TlsOptions {
  return {
    cert,
    key: key.reveal(),
    handshakeTimeout: HANDSHAKE_MS,
    ...(clientCa !== undefined && { ca: clientCa, requestCert: true, rejectUnauthorized: false }),
  };
}

function fileOf(name: string, env: Environment): string | undefined {
  const read = (path: string) => {
    try {
      return readFileSync(path, "utf8");
    } catch {
      throw new Error(`or ${name} names a file that cannot be read: ${path}`);
    }
  };
  return optional(setting(name, read)).read(env);
}
