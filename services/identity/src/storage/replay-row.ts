import { EntitySchema } from "typeorm";

/** A row of `replay`: what a create under an idempotency key made. */
export interface ReplayRow {
  caller_account_id: string;
  rpc: string;
  idempotency_key: string;
  digest: string;
  account_id: string;
  key_id: string;
  /** All keys, where it made more than one. */
  key_ids: string[];
  created_at: Date;
}

export const replayRows = new EntitySchema<ReplayRow>({
  name: "replay",
  columns: {
    caller_account_id: { type: "text", primary: true },
    rpc: { type: "text", primary: true },
    idempotency_key: { type: "text", primary: true },
    digest: { type: "text" },
    account_id: { type: "text" },
    key_id: { type: "text" },
    key_ids: { type: "text", array: true },
    created_at: { type: "timestamptz" },
  },
});
