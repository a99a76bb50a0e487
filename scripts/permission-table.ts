/** Writes docs/permissions.md: who may call each RPC, as the protos state it. */
import { globSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type DescFile, getOption } from "@bufbuild/protobuf";
import { access, Caller } from "@gatehouse/proto/common";

const root = join(import.meta.dirname, "..");
export const permissionsPath = "docs/permissions.md";

/** The access rule of one RPC. */
export interface RpcRule {
  /** `gatehouse.identity.v1.KeyService` */
  readonly service: string;
  readonly rpc: string;
  readonly caller: keyof typeof Caller;
  /** Empty where none is needed. */
  readonly scope: string;
  /** Whether keys of organizations that have yet to accept terms may call it. */
  readonly beforeTerms: boolean;
}

/** The rules of every RPC in the generated code, which `check-protos` compares with the protos. */
export async function rpcRules(): Promise<RpcRule[]> {
  // Ours first, then those of others that we serve.
  const paths = ["gatehouse", "envoy"].flatMap((owner) =>
    globSync(`packages/proto/src/gen/${owner}/**/*_pb.js`, { cwd: root }).sort(),
  );
  const modules = await Promise.all(paths.map((path) => import(join(root, path))));
  return modules.flatMap((module) => rulesOf(fileOf(module)));
}

/** The table, as Markdown. */
export function permissionTable(rules: readonly RpcRule[]): string {
  const services = [...new Set(rules.map(({ service }) => service))];
  const sections = services.map((service) =>
    section(
      service,
      rules.filter((rule) => rule.service === service),
    ),
  );
  return `${HEADER}\n${sections.join("\n")}`;
}

const HEADER = `# Who may call what

Made from the protos by \`npm run generate\`; a rule is changed there, beside its RPC.

**key**: any living key that holds the scope, for the nodes in its reach. **provider**: a key of the root account
that holds the scope. **service**: another Gatehouse service, by service credential; neither scoped nor charged.
**anyone**: what the request holds, such as an invitation's token, is the credential.

Where the scope is —, a living key is enough. Where an organization has yet to accept terms that close a scope, its
keys call only what is **open** before: accepting them, and stopping things.
`;

function section(service: string, rules: readonly RpcRule[]): string {
  const rows = rules.map(
    ({ rpc, caller, scope, beforeTerms }) =>
      `| ${rpc} | ${caller.toLowerCase()} | ${scope === "" ? "—" : `\`${scope}\``} | ${beforeTerms ? "open" : ""} |`,
  );
  return `## ${service}\n\n| RPC | caller | scope | before terms |\n|---|---|---|---|\n${rows.join("\n")}\n`;
}

function fileOf(module: Record<string, unknown>): DescFile {
  const file = Object.values(module).find((value) => (value as { kind?: string }).kind === "file");
  if (file === undefined) throw new Error("generated code without a file descriptor");
  return file as DescFile;
}

function rulesOf(file: DescFile): RpcRule[] {
  return file.services.flatMap(({ typeName, methods }) =>
    methods.map((method) => {
      const { caller, scope, beforeTerms } = getOption(method, access);
      const name = Caller[caller] as keyof typeof Caller;
      return { service: typeName, rpc: method.name, caller: name, scope, beforeTerms };
    }),
  );
}

if (import.meta.main) {
  writeFileSync(join(root, permissionsPath), permissionTable(await rpcRules()));
}
