import type { Charged, HeldCost, QuotaDraw, Reservation, Settlement, Units } from "../domain/reservation.ts";

/** A row of reservation, as `reservationColumns` reads it. */
export interface ReservationRow {
  readonly decision_id: string;
  readonly expires_at: Date;
  readonly state: "OPEN" | Settlement["kind"];
  readonly cost: UnitsRow | null;
  readonly may_exceed: boolean | null;
  readonly booked: boolean;
  readonly account_id: string | null;
  readonly key_id: string | null;
  readonly parent_key_id: string | null;
  readonly resource: string | null;
  readonly minute: string | null;
  readonly estimate: UnitsRow | null;
  readonly draws: readonly QuotaDraw[] | null;
  readonly costs: readonly HeldCost[] | null;
  readonly wallets: readonly string[] | null;
  readonly charged: Readonly<Record<string, number>> | null;
}

/** Units by meter; each is at most 2^48, which JSON holds. */
export type UnitsRow = Readonly<Record<string, number>>;

export const reservationColumns = `r.decision_id, r.expires_at, r.state, r.cost, r.may_exceed, r.booked, r.account_id,
  r.key_id, r.parent_key_id, r.resource, r.minute, r.estimate, r.draws, r.costs, r.wallets, r.charged`;

export function reservationOf(row: ReservationRow): Reservation {
  const { account_id: accountId } = row;
  return {
    decisionId: row.decision_id,
    expiresAtMs: row.expires_at.getTime(),
    held:
      accountId === null
        ? undefined
        : {
            keyId: row.key_id!,
            parentKeyId: row.parent_key_id!,
            accountId,
            resource: row.resource!,
            minute: Number(row.minute),
            estimate: new Map(Object.entries(row.estimate!)),
            draws: row.draws!,
            costs: row.costs ?? [],
            walletIds: row.wallets ?? [],
          },
    settlement: settlementOf(row),
    isBooked: row.booked,
    charged: row.charged === null ? undefined : new Map(Object.entries(row.charged)),
  };
}

export function chargedRow(charged: Charged): Readonly<Record<string, number>> {
  return Object.fromEntries(charged);
}

export function unitsRow(units: Units): UnitsRow {
  return Object.fromEntries(units);
}

function settlementOf({ state, cost, may_exceed }: ReservationRow): Settlement | undefined {
  switch (state) {
    case "OPEN":
      return undefined;
    case "COMMITTED":
      return { kind: "COMMITTED", cost: new Map(Object.entries(cost!)), mayExceed: may_exceed! };
    case "RELEASED":
      return { kind: "RELEASED" };
  }
}
