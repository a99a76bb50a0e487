import { AuthzService } from "@gatehouse/proto/authz";
import { AccountService, KeyService, MeterService, PlanService } from "@gatehouse/proto/identity";
import { LimitService, UsageService } from "@gatehouse/proto/metering";
import { type GrpcClient, grpcClient } from "@gatehouse/service";

/** Long enough for a machine that is busy with other tests. */
export const timely = { timeoutMs: 20_000 };

/** `host:port` of what a caller calls. */
export interface GrpcAddresses {
  readonly identity: string;
  readonly metering: string;
  readonly authz: readonly string[];
}

/** What the holder of one key can call, over gRPC. */
export interface Caller {
  readonly secret: string;
  readonly accounts: GrpcClient<typeof AccountService>;
  readonly keys: GrpcClient<typeof KeyService>;
  readonly meters: GrpcClient<typeof MeterService>;
  readonly plans: GrpcClient<typeof PlanService>;
  readonly limits: GrpcClient<typeof LimitService>;
  readonly usage: GrpcClient<typeof UsageService>;
  /** By replica. */
  readonly authz: readonly GrpcClient<typeof AuthzService>[];
  close(): void;
}

export function callerOf(secret: string, addresses: GrpcAddresses): Caller {
  const headers = { "x-api-key": secret };
  const clients = {
    accounts: grpcClient(AccountService, addresses.identity, { headers }),
    keys: grpcClient(KeyService, addresses.identity, { headers }),
    meters: grpcClient(MeterService, addresses.identity, { headers }),
    plans: grpcClient(PlanService, addresses.identity, { headers }),
    limits: grpcClient(LimitService, addresses.metering, { headers }),
    usage: grpcClient(UsageService, addresses.metering, { headers }),
  };
  const authz = addresses.authz.map((address) => grpcClient(AuthzService, address, { headers }));
  return {
    secret,
    ...clients,
    authz,
    close() {
      for (const client of [...Object.values(clients), ...authz]) client.close();
    },
  };
}
