import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Principal } from "@gatehouse/access";
import { type AuthzService, VerifyResponseSchema } from "@gatehouse/proto/authz";
import {
  type AttributeContext,
  type Authorization,
  type CheckResponseSchema,
  HeaderValueOption_HeaderAppendAction,
} from "@gatehouse/proto/envoy";
import type { Handlers, Later } from "@gatehouse/service";
import { answerOf, answerOfError, type GatewayAnswer } from "../gateway/gateway-answer.ts";
import { type GatewayRequest, gatewayRoute, verifyRequestOf } from "../gateway/gateway-request.ts";
import { FORWARDED_FOR } from "../gateway/headers.ts";
import { whenSettled } from "./settled.ts";

export interface ExtAuthzOptions {
  readonly verify: Verify;
  /** Told of what nobody foresaw. */
  fault(error: unknown): void;
}

type Verify = Handlers<typeof AuthzService, Principal | undefined>["verify"];
type Verified = MessageInitShape<typeof VerifyResponseSchema>;
type CheckInit = MessageInitShape<typeof CheckResponseSchema>;

/**
 * Envoy's external authorization: a Verify in Envoy's words. Whatever happens once the gateway's own credential is
 * accepted is answered OK with what the gateway is to do, and no failure lets a call pass.
 */
export function extAuthzHandlers({
  verify,
  fault,
}: ExtAuthzOptions): Handlers<typeof Authorization, Principal | undefined> {
  return {
    check({ attributes }, call) {
      const failed = (error: unknown) => checkInit(answerOfError(error, fault));
      try {
        const { credential, verify: asked } = verifyRequestOf(gatewayRequest(attributes));
        const reply = verify(asked, call);
        const answered = (error: unknown, verified?: Verified) => {
          try {
            if (error !== undefined && error !== null) throw error;
            return checkInit(answerOf(create(VerifyResponseSchema, verified), credential));
          } catch (thrown) {
            return failed(thrown);
          }
        };
        // A reply that leaves with the others of its turn does so still.
        const whenReady: Later<CheckInit>["whenReady"] = (callback) =>
          whenSettled(reply, (error, verified) => callback(undefined, answered(error, verified)));
        return { whenReady };
      } catch (error) {
        return failed(error);
      }
    },
  };
}

function gatewayRequest(attributes: AttributeContext | undefined): GatewayRequest {
  const { method = "", path = "", headers = {} } = attributes?.request?.http ?? {};
  const header = (name: string) => (Object.hasOwn(headers, name) ? headers[name] : undefined);
  return {
    method,
    path,
    header,
    clientIp: attributes?.source?.address?.socketAddress?.address ?? "",
    forwardedFor: header(FORWARDED_FOR) ?? "",
    route: gatewayRoute(Object.entries(attributes?.contextExtensions ?? {})),
  };
}

/** Of gRPC's codes, those that Envoy's own examples answer with; it looks only at whether it is 0. */
const GRPC_CODE = { OK: 0, PERMISSION_DENIED: 7, UNAUTHENTICATED: 16 };

function checkInit(answer: GatewayAnswer): CheckInit {
  const headers = [...answer.headers].map(([key, value]) => ({
    header: { key, value },
    appendAction: HeaderValueOption_HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
  }));
  if (answer.status === 200) {
    const value = { headers, headersToRemove: [...answer.removed] };
    return { status: { code: GRPC_CODE.OK }, httpResponse: { case: "okResponse", value } };
  }
  const { status: code, body } = answer;
  return {
    status: { code: code === 401 ? GRPC_CODE.UNAUTHENTICATED : GRPC_CODE.PERMISSION_DENIED },
    httpResponse: { case: "deniedResponse", value: { status: { code }, headers, body } },
  };
}
