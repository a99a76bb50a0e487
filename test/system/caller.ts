import type { DescService } from "@bufbuild/protobuf";
import { AuthzService } from "@gatehouse/proto/authz";
import { AccountService, KeyService, MeterService, PlanService } from "@gatehouse/proto/identity";
import { CreditService, LimitService, UsageService } from "@gatehouse/proto/metering";
import { type CallHeaders, type GrpcClient, grpcClient, type UnaryOptions } from "@gatehouse/service";
import { tryAgain } from "./try-again.ts";

/** Long enough for a machine that is busy with other tests. */
export const timely = { timeoutMs: 20_000 };

/** `host:port` of what a caller calls; of metering one or several, separated by commas. */
export interface GrpcAddresses {
  readonly identity: string;
  readonly metering: string;
  readonly authz: readonly string[];
}

/** What the holder of one key can call, over gRPC. Calls of the control plane are tried again where they say so. */
export interface Caller {
  readonly secret: string;
  readonly accounts: GrpcClient<typeof AccountService>;
  readonly keys: GrpcClient<typeof KeyService>;
  readonly meters: GrpcClient<typeof MeterService>;
  readonly plans: GrpcClient<typeof PlanService>;
  readonly limits: GrpcClient<typeof LimitService>;
  readonly usage: GrpcClient<typeof UsageService>;
  readonly credits: GrpcClient<typeof CreditService>;
  /** By replica. */
  readonly authz: readonly GrpcClient<typeof AuthzService>[];
  close(): void;
}

export function callerOf(secret: string, addresses: GrpcAddresses): Caller {
  const headers = { "x-api-key": secret };
  const clients = {
    accounts: controlPlane(AccountService, addresses.identity, headers),
    keys: controlPlane(KeyService, addresses.identity, headers),
    meters: controlPlane(MeterService, addresses.identity, headers),
    plans: controlPlane(PlanService, addresses.identity, headers),
    limits: controlPlane(LimitService, addresses.metering, headers),
    usage: controlPlane(UsageService, addresses.metering, headers),
    credits: controlPlane(CreditService, addresses.metering, headers),
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

function controlPlane<S extends DescService>(
  service: S,
  address: string,
  headers: CallHeaders,
): GrpcClient<S> {
  const client = grpcClient(service, address, { headers });
  const patient = service.methods
    .filter(({ methodKind }) => methodKind === "unary")
    .map(({ localName }) => {
      const call = client[localName] as unknown as (
        request: object,
        options: UnaryOptions,
      ) => Promise<unknown>;
      return [localName, (request: object, options: UnaryOptions) => tryAgain(() => call(request, options))];
    });
  return { ...client, ...Object.fromEntries(patient) };
}
