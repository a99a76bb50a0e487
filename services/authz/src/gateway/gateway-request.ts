import { create } from "@bufbuild/protobuf";
import { isPlainPath } from "@gatehouse/access";
import { type VerifyRequest, VerifyRequestSchema } from "@gatehouse/proto/authz";
import { type Credential, credentialOf } from "./credential.ts";
import { ACCOUNT_HEADER } from "./headers.ts";
import { Unanswerable } from "./unanswerable.ts";

/** A call as a gateway tells of it, whichever gateway. */
export interface GatewayRequest {
  /** Empty where the gateway does not say. */
  readonly method: string;
  /** With its query, still percent-encoded; empty where the gateway does not say. */
  readonly path: string;
  /** Where the call came from, as the gateway saw it; empty where that is not known. */
  readonly clientIp: string;
  /** The X-Forwarded-For that came with the call. */
  readonly forwardedFor: string;
  /** What the gateway's configuration says of the route. */
  readonly route: GatewayRoute;
  /** By the lower-cased name; the values of a header that came more than once are joined by commas. */
  header(name: string): string | undefined;
}

/** Empty for what is not said. */
export interface GatewayRoute {
  /** What calls of the route want; else the catalog says it, by method and path. */
  readonly resource: string;
  readonly integration: string;
  /** The account to act on; else the caller may say it, in `gatehouse-account`. */
  readonly account: string;
}

/**
 * Throws Unanswerable where the configuration says what no route can, or something twice: what is mistyped must not go
 * unnoticed.
 */
export function gatewayRoute(said: Iterable<readonly [string, string]>): GatewayRoute {
  const route = { resource: "", integration: "", account: "" };
  for (const [name, value] of said) {
    if (!Object.hasOwn(route, name) || route[name as keyof GatewayRoute] !== "") {
      throw new Unanswerable("SETUP", `the gateway may not say this of a route: ${name.slice(0, 50)}`);
    }
    route[name as keyof GatewayRoute] = value;
  }
  return route;
}

/**
 * What Verify is asked about a call. Throws Unanswerable where the call has no credential, or more than one, and where
 * the backend may find another path in it than the gateway did: the catalog takes such paths for none, and a gateway
 * that says the resource has chosen it by a path. And where it is no call but a tunnel for others, that nobody asks about.
 */
export function verifyRequestOf(request: GatewayRequest): {
  readonly credential: Credential;
  readonly verify: VerifyRequest;
} {
  const { route, method, path, clientIp } = request;
  const credential = credentialOf(request);
  if (method === "CONNECT") throw new Unanswerable("REQUEST_INVALID", "a tunnel is no call");
  if (route.resource === "" && (method === "" || path === "")) {
    throw new Unanswerable("SETUP", "the gateway says neither method and path nor a resource");
  }
  if (path.includes("#") || (route.resource !== "" && path !== "" && !isPlainPath(path))) {
    throw new Unanswerable("REQUEST_INVALID", "the path can be read in more than one way");
  }
  const verify = create(VerifyRequestSchema, {
    account: route.account || (request.header(ACCOUNT_HEADER) ?? ""),
    integration: route.integration,
    clientIp,
    // Nobody's word for where a call began counts where it is not known who said it.
    forwardedFor: clientIp === "" ? "" : request.forwardedFor,
    ...(route.resource === "" ? { http: { method, path } } : { resource: route.resource }),
    ...("key" in credential ? { key: credential.key } : { signed: credential.signed }),
  });
  return { credential, verify };
}
