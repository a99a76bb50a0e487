import type { MigrationInterface } from "typeorm";
import { AccountsKeysMeters1763700000000 } from "./1763700000000-accounts-keys-meters.ts";
import { CeilingsDefinitions1763800000000 } from "./1763800000000-ceilings-definitions.ts";
import { ActivityNonces1763900000300 } from "./1763900000300-activity-nonces.ts";
import { MetersDefined1763900010000 } from "./1763900010000-meters-defined.ts";
import { MembersInvitations1763900030000 } from "./1763900030000-members-invitations.ts";
import { EventsWebhooks1763900050000 } from "./1763900050000-events-webhooks.ts";
import { AccountsByType1763900060000 } from "./1763900060000-accounts-by-type.ts";
import { EndedCredentials1763900070000 } from "./1763900070000-ended-credentials.ts";
import { SuspendedBy1763900080000 } from "./1763900080000-suspended-by.ts";
import { RolesOfMasters1763900095000 } from "./1763900095000-roles-of-masters.ts";

/** In the order in which they run. */
export const migrations: (new () => MigrationInterface)[] = [
  AccountsKeysMeters1763700000000,
  CeilingsDefinitions1763800000000,
  ActivityNonces1763900000300,
  MetersDefined1763900010000,
  MembersInvitations1763900030000,
  EventsWebhooks1763900050000,
  AccountsByType1763900060000,
  EndedCredentials1763900070000,
  SuspendedBy1763900080000,
  RolesOfMasters1763900095000,
];
