import { relative } from "node:path";
import type { Stack } from "./stack.ts";

/** What a person sees at the start: where things are, and three lines that end in a verified request. */
export function welcome({
  identity,
  authz,
  authzScheme,
  metering,
  bus,
  rootKey,
  rootKeyPath,
}: Stack): string {
  const path = relative(process.cwd(), rootKeyPath) || rootKeyPath;
  return `
Gatehouse is ready.

  identity   gRPC ${identity.grpcAddress}   HTTP http://${identity.httpAddress}
  authz      gRPC ${authz.grpcAddress}   HTTP ${authzScheme}://${authz.httpAddress}
  metering   gRPC ${metering.grpcAddress}   HTTP http://${metering.httpAddress}
  bus        ${bus}
  root key   ${rootKey ?? "made at the first start"}
             kept in ${path}

Paste these into another terminal, in this directory: they make an organization with its first key, and verify a
call with it.

  ROOT=$(cat ${path})
  KEY=$(curl -s http://${identity.httpAddress}/gatehouse.identity.v1.AccountService/CreateAccount -H "Authorization: Bearer $ROOT" -H 'Content-Type: application/json' -d '{"name": "Acme"}' | sed 's/.*"secret":"\\([^"]*\\)".*/\\1/')
  curl -s ${authzScheme}://${authz.httpAddress}/gatehouse.authz.v1.AuthzService/Verify -H "Authorization: Bearer $ROOT" -H 'Content-Type: application/json' -d "{\\"key\\": \\"$KEY\\", \\"resource\\": \\"weather.read\\"}"

Ctrl-C stops everything; what was made stays in ${relative(process.cwd(), rootKeyPath.replace(/[^/]*$/, "")) || "."}.
`;
}
