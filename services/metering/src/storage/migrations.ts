import type { MigrationInterface } from "typeorm";
import { AccountParents1764420000000 } from "./account-parents-migration.ts";
import { AlertMakers1764710000000 } from "./alert-makers-migration.ts";
import { Alerts1764700000000 } from "./alerts-migration.ts";
import { AuditReads1764730000000 } from "./audit-reads-migration.ts";
import { CreditGiven1764750000000 } from "./credit-given-migration.ts";
import { EndedHolders1764100000000 } from "./ended-holders-migration.ts";
import { EpochGaps1764540000000 } from "./epoch-gaps-migration.ts";
import { Initial1764000000000 } from "./initial-migration.ts";
import { LedgerOrder1764610000000 } from "./ledger-order-migration.ts";
import { MirrorNodes1764200000000 } from "./mirror-nodes-migration.ts";
import { Money1764600000000 } from "./money-migration.ts";
import { Plans1764400000000 } from "./plans-migration.ts";
import { Quarantine1764520000000 } from "./quarantine-migration.ts";
import { QuotaEnds1764760000000 } from "./quota-ends-migration.ts";
import { Reports1764500000000 } from "./reports-migration.ts";
import { ReservationCharges1764670000000 } from "./reservation-charges-migration.ts";
import { ReservationCosts1764660000000 } from "./reservation-costs-migration.ts";
import { Reservations1764300000000 } from "./reservations-migration.ts";
import { ReservedShares1764410000000 } from "./reserved-shares-migration.ts";
import { Statements1764620000000 } from "./statements-migration.ts";
import { UsageAccounts1764530000000 } from "./usage-accounts-migration.ts";
import { UsageCosts1764650000000 } from "./usage-costs-migration.ts";
import { UsagePartitions1764510000000 } from "./usage-partitions-migration.ts";
import { UsageSums1764740000000 } from "./usage-sums-migration.ts";
import { WalletHours1764770000000 } from "./wallet-hours-migration.ts";

/** In the order in which they run. One that was published is never changed: what is needed besides is another one. */
export const migrations: (new () => MigrationInterface)[] = [
  Initial1764000000000,
  EndedHolders1764100000000,
  MirrorNodes1764200000000,
  Reservations1764300000000,
  Plans1764400000000,
  ReservedShares1764410000000,
  AccountParents1764420000000,
  Reports1764500000000,
  UsagePartitions1764510000000,
  Quarantine1764520000000,
  UsageAccounts1764530000000,
  EpochGaps1764540000000,
  Money1764600000000,
  LedgerOrder1764610000000,
  Statements1764620000000,
  UsageCosts1764650000000,
  ReservationCosts1764660000000,
  ReservationCharges1764670000000,
  Alerts1764700000000,
  AlertMakers1764710000000,
  AuditReads1764730000000,
  UsageSums1764740000000,
  CreditGiven1764750000000,
  QuotaEnds1764760000000,
  WalletHours1764770000000,
];
