import type { Requests } from "./request.ts";
import type { World } from "./world.ts";

const ROLES = "identity.v1.RoleService";
const WEBHOOKS = "identity.v1.WebhookService";
const AUDIT = "identity.v1.AuditService";
const READING = ["orders.read"];
const URL = "https://events.example.com/gatehouse";

export const roleAndWebhookRequests: Requests = {
  [`${ROLES}/CreateRole`]: ({ subaccount, fresh }) => ({
    account: subaccount,
    name: fresh(),
    scopes: READING,
  }),
  [`${ROLES}/CreateRole:credits`]: ({ subaccount, fresh }) => ({
    account: subaccount,
    name: fresh(),
    scopes: ["gatehouse.credits.**"],
  }),
  [`${ROLES}/GetRole`]: theRole,
  [`${ROLES}/ListRoles`]: ({ subaccount }) => ({ account: subaccount }),
  [`${ROLES}/UpdateRole`]: async (world) => ({ ...(await theRole(world)), title: world.fresh() }),
  [`${ROLES}/UpdateRole:credits`]: async (world) => ({
    ...(await freshRole(world)),
    scopes: ["gatehouse.credits.**"],
  }),
  [`${ROLES}/UpdateRole:of-a-master-key`]: async (world) => ({
    ...(await theMastersRole(world)),
    title: world.fresh(),
  }),
  [`${ROLES}/DeleteRole`]: freshRole,

  [`${WEBHOOKS}/CreateWebhook`]: ({ subaccount, fresh }) => ({
    account: subaccount,
    name: fresh(),
    url: URL,
  }),
  [`${WEBHOOKS}/CreateWebhook:descendants`]: ({ subaccount, fresh }) => ({
    account: subaccount,
    name: fresh(),
    url: URL,
    descendants: true,
  }),
  [`${WEBHOOKS}/GetWebhook`]: theWebhook,
  [`${WEBHOOKS}/ListWebhooks`]: ({ subaccount }) => ({ account: subaccount }),
  [`${WEBHOOKS}/UpdateWebhook`]: async (world) => ({ ...(await theWebhook(world)), paused: true }),
  [`${WEBHOOKS}/UpdateWebhook:descendants`]: async (world) => ({
    ...(await theWideWebhook(world)),
    paused: true,
  }),
  [`${WEBHOOKS}/DeleteWebhook`]: (world) => freshWebhook(world),
  [`${WEBHOOKS}/DeleteWebhook:descendants`]: (world) => freshWebhook(world, { descendants: true }),
  [`${WEBHOOKS}/ListDeliveries`]: theWebhook,
  [`${WEBHOOKS}/ListDeliveries:descendants`]: theWideWebhook,
  [`${WEBHOOKS}/RedeliverEvents`]: theWebhook,
  [`${WEBHOOKS}/RedeliverEvents:descendants`]: theWideWebhook,

  [`${AUDIT}/ListEvents`]: ({ subaccount }) => ({ account: subaccount }),
  [`${AUDIT}/ExportEvents`]: ({ subaccount }) => ({ account: subaccount }),
};

async function theRole({ once, subaccount }: World) {
  const { role } = await once(`${ROLES}/CreateRole`, {
    account: subaccount,
    name: "reader",
    scopes: READING,
  });
  return { account: subaccount, role: role.name };
}

async function theMastersRole({ once, subaccount }: World) {
  const name = "masters";
  await once(`${ROLES}/CreateRole`, { account: subaccount, name, scopes: READING });
  const key = { account: subaccount, name, roles: [name], kind: "KEY_KIND_MASTER" };
  await once("identity.v1.KeyService/CreateKey", key);
  return { account: subaccount, role: name };
}

async function freshRole({ made, subaccount, fresh }: World) {
  const body = { account: subaccount, name: fresh(), scopes: READING };
  return { account: subaccount, role: (await made(`${ROLES}/CreateRole`, body)).role.name };
}

async function theWebhook({ once, subaccount }: World) {
  const body = { account: subaccount, name: "the-webhook", url: URL, descendants: false };
  return { account: subaccount, webhook: (await once(`${WEBHOOKS}/CreateWebhook`, body)).webhook.name };
}

async function theWideWebhook({ once, subaccount }: World) {
  const body = { account: subaccount, name: "the-wide-webhook", url: URL, descendants: true };
  return { account: subaccount, webhook: (await once(`${WEBHOOKS}/CreateWebhook`, body)).webhook.name };
}

async function freshWebhook({ made, subaccount, fresh }: World, { descendants = false } = {}) {
  const body = { account: subaccount, name: fresh(), url: URL, descendants };
  return { account: subaccount, webhook: (await made(`${WEBHOOKS}/CreateWebhook`, body)).webhook.name };
}
