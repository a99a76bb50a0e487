import { lookup as lookUp } from "node:dns";
import { request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import { isPublicAddress } from "./public-address.ts";

/** One attempt to bring a body to a place. */
export interface Post {
  readonly url: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  /** For development and tests: also `http`, and any address. */
  readonly insecure: boolean;
  readonly signal?: AbortSignal;
  /** Default 10 000. */
  readonly timeoutMs?: number;
}

/** What came of an attempt. */
export interface Outcome {
  readonly taken: boolean;
  /** The receiver said that it is gone for good. */
  readonly final: boolean;
  /** An HTTP status, or why there was none; for people, at most 100 characters. */
  readonly error: string;
}

const TIMEOUT_MS = 10_000;
/** Of an answer; nothing in it is of use, but a receiver that sees its answer cut off may call that an error. */
const MAX_ANSWER_BYTES = 64 * 1024;
const MAX_HEADER_BYTES = 16 * 1024;

const refusal = "ADDRESS_REFUSED";

/** Posts JSON once. Never rejects. 2xx is taken; what redirects is not followed. */
export async function post(attempt: Post): Promise<Outcome> {
  const timeout = AbortSignal.timeout(attempt.timeoutMs ?? TIMEOUT_MS);
  const signal = attempt.signal === undefined ? timeout : AbortSignal.any([timeout, attempt.signal]);
  try {
    const status = await send(attempt, signal);
    const taken = status >= 200 && status < 300;
    return { taken, final: status === 410, error: taken ? "" : `HTTP ${status}` };
  } catch (error) {
    if (timeout.aborted) return failed("timed out");
    return failed(attempt.signal?.aborted ? "interrupted" : reasonOf(error));
  }
}

function failed(error: string): Outcome {
  return { taken: false, final: false, error: error.slice(0, 100) };
}

function send({ url, body, headers, insecure }: Post, signal: AbortSignal): Promise<number> {
  const target = new URL(url);
  const secure = target.protocol === "https:";
  if (!secure && !(insecure && target.protocol === "http:")) throw refused("is not https");
  const host = target.hostname.replace(/^\[|\]$/g, "");
  // An address is connected to without a look-up.
  if (!insecure && isIP(host) !== 0 && !isPublicAddress(host)) throw refused("is no public address");
  const options: RequestOptions = {
    method: "POST",
    headers: {
      ...headers,
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
      "user-agent": "gatehouse-webhooks",
    },
    // A connection of its own: one that is kept was judged when it was made, which may be long ago.
    agent: false,
    maxHeaderSize: MAX_HEADER_BYTES,
    signal,
    ...(insecure ? {} : { lookup: lookUpPublic }),
  };
  return new Promise((resolve, reject) => {
    const sending = (secure ? httpsRequest : httpRequest)(target, options, (answer) => {
      drain(answer).then(() => resolve(answer.statusCode!), reject);
    });
    sending.on("error", reject);
    sending.end(body);
  });
}

/** Reads an answer to its end, or as much of it as anyone should send. */
async function drain(answer: IncomingMessage): Promise<void> {
  let bytes = 0;
  for await (const chunk of answer) {
    bytes += (chunk as Buffer).length;
    // Leaving the loop destroys the connection.
    if (bytes > MAX_ANSWER_BYTES) return;
  }
}

/** The socket connects to what this answers, so no other address can come in between. */
const lookUpPublic: LookupFunction = (hostname, options, callback) => {
  lookUp(hostname, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return callback(error, "", 4);
    const allowed = addresses.filter(({ address }) => isPublicAddress(address));
    const [first] = allowed;
    if (first === undefined) return callback(refused("has no public address"), "", 4);
    if (options.all === true) return callback(null, allowed);
    callback(null, first.address, first.family);
  });
};

function refused(why: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`the receiver ${why}`), { code: refusal });
}

/** A code such as ECONNREFUSED; messages may hold more than a receiver's owner should read. */
function reasonOf(error: unknown): string {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (code === refusal) return String(message);
  return typeof code === "string" ? code : "failed";
}
