import type { IncomingMessage, ServerResponse } from "node:http";
import { AuthzService } from "@gatehouse/proto/authz";
import { type CallOwn, type ExtraEndpoint, peerCertificateOf } from "@gatehouse/service";
import { answerOf, answerOfError, type GatewayAnswer, type PassesOn } from "../gateway/gateway-answer.ts";
import { type GatewayRequest, gatewayRoute, verifyRequestOf } from "../gateway/gateway-request.ts";
import {
  FORWARDED_FOR,
  IDENTITY_HEADERS,
  PROBLEM_HEADER,
  STATUS_HEADER,
  VERIFIER_HEADER,
} from "../gateway/headers.ts";
import { Unanswerable } from "../gateway/unanswerable.ts";

const PATH = "/forward-auth";

/**
 * What nginx, Caddy, Traefik and HAProxy ask before they pass a call on: a request with the call's own headers, whose
 * answer is 200 with the headers to set, or what the caller is to be answered. Of the headers that say who calls all are
 * there, empty where there is nothing to say: gateways that copy a missing one copy nonsense, or leave the caller's. The
 * method does not matter, a body is not read.
 *
 * The query of the URL is the gateway's configuration: `resource`, `integration`, `account`; `upstream`, the headers in
 * which it passes an upstream credential on, `*` for any; and `codes=nginx` for a gateway that knows no other answers
 * than 200, 401 and 403.
 *
 * The call's method and path come in headers, which a client can send as well: the gateway must set both of its pair
 * over what came. A call that has headers of more than one pair is refused, because one of them is then the client's.
 */
export function forwardAuth(fault: (error: unknown) => void): ExtraEndpoint {
  return (request, response, callOwn) => {
    const url = request.url!;
    const end = url.includes("?") ? url.indexOf("?") : url.length;
    if (url.slice(0, end) !== PATH) return false;
    const said = new URLSearchParams(url.slice(end));
    const send = senderOf(said, response);
    try {
      decide(gatewayRequest(request, said), request, response, callOwn, (error, answer) => {
        try {
          send(error === undefined ? answer!(upstreamIn(said)) : answerOfError(error, fault));
        } catch (thrown) {
          send(answerOfError(thrown, fault));
        }
      });
    } catch (error) {
      send(answerOfError(error, fault));
    }
    return true;
  };
}

function decide(
  call: GatewayRequest,
  request: IncomingMessage,
  response: ServerResponse,
  callOwn: CallOwn,
  done: (error: unknown, answer?: (passesOn: PassesOn) => GatewayAnswer) => void,
): void {
  const { credential, verify } = verifyRequestOf(call);
  const exchange = { request, response, header: headerOfVerifier(request) };
  callOwn(AuthzService.method.verify, verify, exchange, (failure, reply) => {
    if (failure === undefined) done(undefined, (passesOn) => answerOf(reply!, credential, passesOn));
    else done(failure);
  });
}

// The gateway's credential is in a header of its own; where it calls from is the other end of the connection, and
// X-Forwarded-For speaks of the caller.
function headerOfVerifier(request: IncomingMessage): (name: string) => string | undefined {
  // A certificate is the gateway's own, whether or not it is worth something. A gateway that has one sets no header, and
  // what is there is then the caller's: it would be admitted by whom it chose, such as its own organization.
  if (peerCertificateOf(request.socket) !== undefined) return () => undefined;
  return (name) => {
    const key = name === "authorization" ? headerOf(request, VERIFIER_HEADER) : undefined;
    return key === undefined ? undefined : `Bearer ${key}`;
  };
}

function gatewayRequest(request: IncomingMessage, said: URLSearchParams): GatewayRequest {
  const header = (name: string) => headerOf(request, name);
  const called = calledOf(request);
  refuseCallersQuery(called.path, said);
  const hops = (header(FORWARDED_FOR) ?? "").split(",").map((hop) => hop.trim());
  return {
    ...called,
    header,
    // The gateway puts the address that it sees last.
    clientIp: hops.pop()!,
    forwardedFor: hops.join(","),
    route: gatewayRoute(said.entries().filter((each) => !isOfForwardAuth(each))),
  };
}

// Caddy puts the caller's query on a URL that has none, and the caller would say what the gateway is to say.
function refuseCallersQuery(path: string, said: URLSearchParams): void {
  if (said.size === 0) return;
  const [, query = ""] = /\?(.*)/s.exec(path) ?? [];
  if (new URLSearchParams(query).toString() === said.toString()) {
    throw new Unanswerable(
      "SETUP",
      "the gateway asks with the caller's query: end the URL that it asks with a ?",
    );
  }
}

function headerOf(request: IncomingMessage, name: string): string | undefined {
  return request.headersDistinct[name]?.join(",");
}

/** Where gateways put what is called: each sets all headers of one row that it has. */
const CALLED_IN = [
  { method: "x-forwarded-method", path: "x-forwarded-uri" },
  { method: "x-original-method", path: "x-original-uri" },
  { method: "x-original-method", path: "x-original-url" },
] as const;

function calledOf({ headersDistinct }: IncomingMessage): { readonly method: string; readonly path: string } {
  const named = CALLED_IN.filter(({ path }) => headersDistinct[path] !== undefined);
  const methods = [...new Set(CALLED_IN.map(({ method }) => method))];
  const values = [...named.map(({ path }) => path), ...methods].flatMap(
    (name) => headersDistinct[name] ?? [],
  );
  if (values.length === 0) return { method: "", path: "" };
  // What no path is said of is a tunnel, or what a caller says where the gateway says nothing.
  if (named.length === 0) throw new Unanswerable("REQUEST_INVALID", PATHLESS);
  // A path, its method, and nothing else.
  const [{ method, path }] = named as [(typeof CALLED_IN)[number]];
  if (values.length > 2 || named.length > 1) {
    throw new Unanswerable("REQUEST_INVALID", "the call says more than once what is called");
  }
  const called = pathOf(headersDistinct[path]![0]!);
  if (called === "") throw new Unanswerable("REQUEST_INVALID", PATHLESS);
  return { method: headersDistinct[method]?.[0] ?? "", path: called };
}

const PATHLESS = "the call has a method and no path";

// nginx's ingress controller tells the whole URL.
function pathOf(called: string): string {
  return called.startsWith("/") ? called : (/^https?:\/\/[^/?#]*(\/.*)/is.exec(called)?.[1] ?? called);
}

const CODES = "codes";
const NGINX = "nginx";
const UPSTREAM = "upstream";

function isOfForwardAuth([name, value]: readonly [string, string]): boolean {
  return name === UPSTREAM || (name === CODES && value === NGINX);
}

// An answer is no more than advice here: of what it would set, a gateway sets what its configuration names.
function upstreamIn(said: URLSearchParams): PassesOn {
  const names = new Set(said.getAll(UPSTREAM).flatMap((value) => value.toLowerCase().split(",")));
  return (header) => names.has("*") || names.has(header);
}

const NOBODY = Object.fromEntries(IDENTITY_HEADERS.map((name) => [name, ""]));

function senderOf(said: URLSearchParams, response: ServerResponse): (answer: GatewayAnswer) => void {
  const forNginx = said.getAll(CODES).includes(NGINX);
  return (answer) => {
    const { status, headers } = answer;
    const shown = forNginx && status !== 200 && status !== 401 ? 403 : status;
    const body = "body" in answer ? answer.body : "";
    response.writeHead(shown, {
      ...(status === 200 && NOBODY),
      ...Object.fromEntries(headers),
      [STATUS_HEADER]: String(status),
      ...(forNginx && body !== "" && { [PROBLEM_HEADER]: inAscii(body) }),
      "cache-control": "no-store",
      "content-length": Buffer.byteLength(body),
    });
    response.end(body);
  };
}

// A header holds nothing else, and JSON can say it all.
function inAscii(json: string): string {
  return json.replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
