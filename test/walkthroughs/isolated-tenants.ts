import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type Gatehouse, reasonOf } from "@gatehouse/client";
import type { Account } from "@gatehouse/proto/identity";

/*
 * The façade that a provider of isolated tenants puts before Gatehouse: its own wire shapes, and nothing else. Who may
 * do what is Gatehouse's business: the presented key is passed on as it came.
 *
 *   POST /accounts {attributes: {name, company, vat, country, address, city, state, zip_code}} → 201 {account, key}
 *   GET  /accounts/<id or slug> → 200 {account}
 *
 * 400 without attributes, 401 for a missing or bad key, 404 across accounts, 422 for bad attributes.
 */

interface Reply {
  readonly status: number;
  readonly body: object;
}

/** Serves the façade on a free port; `as` is the client of whoever presents a key. */
export async function serveTenants(
  as: (key: string) => Gatehouse,
): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer(async (request, response) => {
    const { status, body } = await answer(as, request).catch(refusal);
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, close: () => closed(server) };
}

async function answer(as: (key: string) => Gatehouse, request: IncomingMessage): Promise<Reply> {
  const key = request.headers["x-api-key"];
  if (typeof key !== "string") return { status: 401, body: { error: "a key is needed" } };
  const [, collection, id] = (request.url ?? "").split("/");
  if (collection !== "accounts") return { status: 404, body: { error: "not found" } };
  if (request.method === "POST") return create(as(key), await bodyOf(request));
  const { account } = await as(key).accounts.getAccount({ account: decodeURIComponent(id ?? "") });
  return { status: 200, body: { account: shown(account!) } };
}

async function create(
  client: Gatehouse,
  { attributes }: { attributes?: Record<string, string> },
): Promise<Reply> {
  if (attributes === undefined) return { status: 400, body: { error: "attributes are missing" } };
  const { name = "", zip_code: zipCode, ...profile } = attributes;
  const { account, key, secret } = await client.accounts.createAccount({
    name,
    profile: { ...profile, ...(zipCode !== undefined && { zipCode }) },
  });
  return { status: 201, body: { account: shown(account!), key: { id: key!.id, secret } } };
}

function shown({ id, name, slug, parentId, profile }: Account) {
  const { $typeName: _, zipCode, ...rest } = profile!;
  return { id, name, slug, parent_id: parentId, ...rest, zip_code: zipCode };
}

function refusal(error: unknown): Reply {
  const { reason, violations } = reasonOf(error);
  switch (reason) {
    case "INVALID_FIELD":
      return { status: 422, body: { errors: violations } };
    case "NOT_FOUND":
      return { status: 404, body: { error: "not found" } };
    case "SCOPE_DENIED":
    case "PLAN_DEPTH":
      return { status: 403, body: { error: reason } };
    default:
      return { status: 401, body: { error: reason ?? "the key is not valid" } };
  }
}

async function bodyOf(request: IncomingMessage): Promise<{ attributes?: Record<string, string> }> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return chunks.length === 0 ? {} : JSON.parse(Buffer.concat(chunks).toString());
}

async function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  server.close();
  await once(server, "close");
}
