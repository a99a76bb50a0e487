import { type Client, createClient } from "@connectrpc/connect";
import { AuthzService } from "@gatehouse/proto/authz";
import {
  AccountService,
  AuditService,
  CatalogService,
  IntegrationService,
  KeyService,
  MemberService,
  MeterService,
  PlanService,
  RoleService,
  TermsService,
  TypeService,
  WebhookService,
} from "@gatehouse/proto/identity";
import {
  AlertService,
  CreditService,
  LimitService,
  AuditService as MeteringAuditService,
  UsageService,
} from "@gatehouse/proto/metering";
import { type Credential, openTransport, type Transport } from "./transport.ts";

/** Where the three services are and what to present to them. */
export interface GatehouseOptions {
  /** The key sent with every call; a function is asked each time, so that a rotated key is picked up. */
  readonly key: Credential;
  /** `grpc` (default), or `connect` for networks that let only HTTP/1.1 through. */
  readonly transport?: Transport | undefined;
  /** Base URLs. Defaults: loopback, ports 7101 to 7103 for gRPC and 7201 to 7203 for Connect. */
  readonly identity?: string | undefined;
  readonly authz?: string | undefined;
  readonly metering?: string | undefined;
  /** How long a call waits that says nothing itself, in milliseconds. Default 10 000. */
  readonly timeoutMs?: number | undefined;
}

/** A client for every public service. What its calls throw is a ConnectError; `reasonOf` reads it. */
export interface Gatehouse {
  readonly accounts: Client<typeof AccountService>;
  readonly keys: Client<typeof KeyService>;
  readonly meters: Client<typeof MeterService>;
  readonly roles: Client<typeof RoleService>;
  readonly members: Client<typeof MemberService>;
  readonly plans: Client<typeof PlanService>;
  readonly catalog: Client<typeof CatalogService>;
  readonly types: Client<typeof TypeService>;
  readonly integrations: Client<typeof IntegrationService>;
  readonly terms: Client<typeof TermsService>;
  readonly webhooks: Client<typeof WebhookService>;
  readonly audit: Client<typeof AuditService>;
  readonly authz: Client<typeof AuthzService>;
  readonly alerts: Client<typeof AlertService>;
  readonly limits: Client<typeof LimitService>;
  readonly credits: Client<typeof CreditService>;
  readonly usage: Client<typeof UsageService>;
  /** The audit of limits, credits, prices and alerts, as `audit` is that of accounts and keys. */
  readonly meteringAudit: Client<typeof MeteringAuditService>;
  /** Closes the connections; calls still running fail. */
  close(): void;
}

const DEFAULT_URLS = {
  grpc: {
    identity: "http://127.0.0.1:7101",
    authz: "http://127.0.0.1:7102",
    metering: "http://127.0.0.1:7103",
  },
  connect: {
    identity: "http://127.0.0.1:7201",
    authz: "http://127.0.0.1:7202",
    metering: "http://127.0.0.1:7203",
  },
} as const;

/** Longer than any wait inside Gatehouse, so that its own answer arrives before we give up. */
const DEFAULT_TIMEOUT_MS = 10_000;

/** Clients for the services of one Gatehouse. Connects at the first call. Throws where a base URL is none. */
export function gatehouse(options: GatehouseOptions): Gatehouse {
  const { key, transport: kind = "grpc", timeoutMs = DEFAULT_TIMEOUT_MS } = options;
  const open = (service: keyof typeof DEFAULT_URLS.grpc) =>
    openTransport(kind, { baseUrl: options[service] ?? DEFAULT_URLS[kind][service], key, timeoutMs });
  const identity = open("identity");
  const authz = open("authz");
  const metering = open("metering");
  return {
    accounts: createClient(AccountService, identity.transport),
    keys: createClient(KeyService, identity.transport),
    meters: createClient(MeterService, identity.transport),
    roles: createClient(RoleService, identity.transport),
    members: createClient(MemberService, identity.transport),
    plans: createClient(PlanService, identity.transport),
    catalog: createClient(CatalogService, identity.transport),
    types: createClient(TypeService, identity.transport),
    integrations: createClient(IntegrationService, identity.transport),
    terms: createClient(TermsService, identity.transport),
    webhooks: createClient(WebhookService, identity.transport),
    audit: createClient(AuditService, identity.transport),
    authz: createClient(AuthzService, authz.transport),
    alerts: createClient(AlertService, metering.transport),
    limits: createClient(LimitService, metering.transport),
    credits: createClient(CreditService, metering.transport),
    usage: createClient(UsageService, metering.transport),
    meteringAudit: createClient(MeteringAuditService, metering.transport),
    close() {
      for (const opened of [identity, authz, metering]) opened.close();
    },
  };
}
