import type { Principal } from "@gatehouse/access";
import { AlertService } from "@gatehouse/proto/metering";
import { type Route, route } from "@gatehouse/service";
import { listAlertDeliveries, redeliverAlert } from "../domain/alert-deliveries.ts";
import { type AlertDependencies, createAlert, deleteAlert, listAlerts } from "../domain/manage-alerts.ts";
import { alertDraft, alertMessage, deliveryMessage, deliveryStatus } from "./alert-wire.ts";
import { nodeName } from "./limit-wire.ts";

export function alertRoute(dependencies: AlertDependencies): Route<Principal> {
  return route<typeof AlertService, Principal>(AlertService, {
    async createAlert(request, call) {
      const { view } = call.principal;
      const { alert, secret } = await createAlert(
        dependencies,
        view,
        nodeName(request.node),
        alertDraft(request),
      );
      // No copy is to be kept of an answer that may hold a secret.
      call.setHeader("cache-control", "no-store");
      return { alert: alertMessage(alert), secret };
    },

    async listAlerts({ node, pageSize, pageToken }, { principal }) {
      const page = { pageSize, pageToken };
      const { rows, nextPageToken } = await listAlerts(dependencies, principal.view, nodeName(node), page);
      return { alerts: rows.map(alertMessage), nextPageToken };
    },

    async deleteAlert({ alert }, { principal }) {
      await deleteAlert(dependencies, principal.view, alert);
      return {};
    },

    async listAlertDeliveries({ alert, status, pageSize, pageToken }, { principal }) {
      const request = { alert, status: deliveryStatus(status), pageSize, pageToken };
      const { rows, nextPageToken } = await listAlertDeliveries(dependencies, principal.view, request);
      return { deliveries: rows.map(deliveryMessage), nextPageToken };
    },

    async redeliverAlert({ alert, eventIds }, { principal }) {
      return { redelivered: await redeliverAlert(dependencies, principal.view, { alert, eventIds }) };
    },
  });
}
