import { Failure } from "@gatehouse/service/failure";

export function notYet(): never {
  throw new Failure({ code: "UNIMPLEMENTED", reason: "INTERNAL", message: "not yet" });
}
