import { freshKey, type Requests } from "./request.ts";
import type { World } from "./world.ts";

const ALERTS = "metering.v1.AlertService";
const URL = "https://alerts.example.com/";
const SUBJECT = { usage: { amount: "1000", window: "WINDOW_DAY" } };

/** Alerts on the organization's subaccount. */
export const alertRequests: Requests = {
  [`${ALERTS}/CreateAlert`]: ({ subaccount }) => ({ account: subaccount, ...SUBJECT, webhook_url: URL }),
  [`${ALERTS}/CreateAlert:key`]: async (world) => ({ key: (await freshKey(world)).id, ...SUBJECT }),
  [`${ALERTS}/ListAlerts`]: ({ subaccount }) => ({ account: subaccount }),
  [`${ALERTS}/DeleteAlert`]: freshAlert,
  [`${ALERTS}/ListAlertDeliveries`]: theAlert,
  [`${ALERTS}/RedeliverAlert`]: theAlert,
};

async function theAlert({ once, subaccount }: World) {
  const body = { account: subaccount, name: "the-alert", ...SUBJECT, webhook_url: URL };
  return { alert: (await once(`${ALERTS}/CreateAlert`, body)).alert.id };
}

async function freshAlert({ made, subaccount }: World) {
  const body = { account: subaccount, ...SUBJECT, webhook_url: URL };
  return { alert: (await made(`${ALERTS}/CreateAlert`, body)).alert.id };
}
