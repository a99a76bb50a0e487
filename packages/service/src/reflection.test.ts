import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { AuthzService } from "@gatehouse/proto/authz";
import {
  type Client,
  credentials,
  loadPackageDefinition,
  type ServiceClientConstructor,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { protoPath as healthProto } from "grpc-health-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { route } from "./handlers.ts";
import { createLog } from "./log.ts";
import { type ServingService, serve } from "./server.ts";

let server: ServingService;

beforeAll(async () => {
  const anywhere = { host: "127.0.0.1", port: 0 };
  const log = createLog({ name: "test", level: "silent" });
  const authz = route(AuthzService, {
    verify: () => ({}),
    batchVerify: () => ({}),
    explain: () => ({}),
    heartbeat: () => ({}),
  });
  server = await serve({
    grpc: anywhere,
    http: anywhere,
    routes: [authz],
    guard: () => () => undefined,
    log,
  });
});

afterAll(() => server.close());

// As a stranger does it: with the protos of the two standard services, and nothing of ours.
function stranger(proto: string, path: string[]): Client & Record<string, (...args: unknown[]) => never> {
  const loaded: unknown = loadPackageDefinition(loadSync(proto, { enums: String }));
  const found = path.reduce((at, name) => (at as Record<string, unknown>)[name], loaded);
  return new (found as ServiceClientConstructor)(server.grpcAddress, credentials.createInsecure()) as never;
}

it("health says what the service says, for each service and for the whole", async () => {
  const health = stranger(healthProto, ["grpc", "health", "v1", "Health"]);
  const check = (service: string) =>
    new Promise((resolve) => {
      health.check!({ service }, (error: unknown, reply: { status: string }) =>
        resolve(error ?? reply.status),
      );
    });
  expect(await check("")).toBe("NOT_SERVING");
  server.setServing(true);
  expect(await check("")).toBe("SERVING");
  expect(await check("gatehouse.authz.v1.AuthzService")).toBe("SERVING");
  expect(await check("elsewhere")).toMatchObject({ code: 5 });
  health.close();
});

it("reflection lists the services and gives every file that they import, and the details of errors", async () => {
  const root = dirname(createRequire(import.meta.url).resolve("@grpc/reflection/package.json"));
  const proto = join(root, "build/proto/grpc/reflection/v1/reflection.proto");
  const reflection = stranger(proto, ["grpc", "reflection", "v1", "ServerReflection"]);
  const ask = (request: object) =>
    new Promise<Record<string, unknown>>((resolve) => {
      const stream = reflection.serverReflectionInfo!() as NodeJS.ReadWriteStream;
      stream.once("data", resolve);
      stream.write(request as never);
      stream.end();
    });
  const { listServicesResponse } = await ask({ listServices: "*" });
  expect((listServicesResponse as { service: object[] }).service).toEqual([
    { name: "gatehouse.authz.v1.AuthzService" },
    { name: "grpc.health.v1.Health" },
  ]);
  const seen = new Set<string>();
  const wanted = ["gatehouse/authz/v1/authz.proto"];
  for (let name = wanted.pop(); name !== undefined; name = wanted.pop()) {
    if (seen.has(name)) continue;
    seen.add(name);
    const { fileDescriptorResponse } = await ask({ fileByFilename: name });
    const [own] = (fileDescriptorResponse as { fileDescriptorProto: Buffer[] }).fileDescriptorProto;
    wanted.push(...fromBinary(FileDescriptorProtoSchema, own!).dependency);
  }
  expect([...seen]).toContain("google/protobuf/timestamp.proto");
  expect([...seen]).toContain("gatehouse/common/v1/access.proto");
  const details = await ask({ fileContainingSymbol: "google.rpc.BadRequest" });
  expect(details).toMatchObject({ fileDescriptorResponse: {} });
  // Go's clients refuse a file whose map entries are not named after their fields.
  const answer = await ask({ fileContainingSymbol: "grpc.health.v1.Health" });
  const [file] = (answer.fileDescriptorResponse as { fileDescriptorProto: Buffer[] }).fileDescriptorProto;
  const { nestedType } = fromBinary(FileDescriptorProtoSchema, file!).messageType.find(
    ({ name }) => name === "HealthListResponse",
  )!;
  expect(nestedType.map(({ name }) => name)).toEqual(["StatusesEntry"]);
  reflection.close();
});
