import { readFileSync } from "node:fs";
import { createSecureContext, type TlsOptions } from "node:tls";
import { ConfigError, type ConfigOf } from "./config.ts";
import { optional, type Setting, setting } from "./setting.ts";

/** What a listener shows and asks for. Each is PEM. */
export interface ServerTls {
  readonly cert: string;
  readonly key: string;
  /** The CA of clients' certificates. Undefined: clients are asked for none. */
  readonly clientCa: string | undefined;
}

/** The settings that {@link serverTls} makes TLS of, for a service's configuration. */
export const tlsSettings = {
  /** A chain, the service's own certificate first. */
  cert: optional(pemFile("GATEHOUSE_TLS_CERT")),
  key: optional(pemFile("GATEHOUSE_TLS_KEY")),
  clientCa: optional(pemFile("GATEHOUSE_TLS_CLIENT_CA")),
};

/** TLS for a service's listeners; undefined for plaintext. Throws ConfigError where the files do not make one whole. */
export function serverTls({ cert, key, clientCa }: ConfigOf<typeof tlsSettings>): ServerTls | undefined {
  if (cert === undefined && key === undefined) {
    if (clientCa === undefined) return undefined;
    throw new ConfigError(["GATEHOUSE_TLS_CLIENT_CA needs GATEHOUSE_TLS_CERT and GATEHOUSE_TLS_KEY"]);
  }
  if (cert === undefined || key === undefined) {
    throw new ConfigError(["GATEHOUSE_TLS_CERT and GATEHOUSE_TLS_KEY are given together"]);
  }
  const tls = { cert: cert.text, key: key.text, clientCa: clientCa?.text };
  try {
    createSecureContext(optionsOf(tls));
  } catch {
    throw new ConfigError(["GATEHOUSE_TLS_… are not PEM, or the key is not the certificate's"]);
  }
  return tls;
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
    key,
    handshakeTimeout: HANDSHAKE_MS,
    ...(clientCa !== undefined && { ca: clientCa, requestCert: true, rejectUnauthorized: false }),
  };
}

/** A file's text, which is not printed where a configuration is. */
class FileText {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  get text(): string {
    return this.#text;
  }
}

function pemFile(name: string): Setting<FileText> {
  return setting(name, (path) => {
    try {
      return new FileText(readFileSync(path, "utf8"));
    } catch {
      throw new Error(`names a file that cannot be read: ${path}`);
    }
  });
}
