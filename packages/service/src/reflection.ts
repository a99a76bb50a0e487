import { type DescFile, type DescService, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import type { Server } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { service as healthService } from "grpc-health-check";

type LoadedPackage = ConstructorParameters<typeof ReflectionService>[0];

/** Serves reflection (v1 and v1alpha) of `services`, everything that their files import, and health. */
export function addReflection(server: Server, services: readonly DescService[]): void {
  const files = services.map(({ file }) => file);
  const own = [...withImports(files)].map((file) =>
    Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)),
  );
  const health = Object.values(healthService).flatMap(
    ({ requestType }) => (requestType as unknown as { fileDescriptorProtos: Buffer[] }).fileDescriptorProtos,
  );
  // Of a loaded package, reflection reads only the descriptors that hang on its entries.
  const loaded = { gatehouse: { fileDescriptorProtos: [...own, ...health] } } as unknown as LoadedPackage;
  // Files hold services that are only imported here, or served elsewhere: those are described, not listed.
  const listed = [...services.map(({ typeName }) => typeName), "grpc.health.v1.Health"];
  new ReflectionService(loaded, { services: listed }).addToServer(server);
}

function withImports(files: readonly DescFile[], seen = new Set<DescFile>()): Set<DescFile> {
  for (const file of files) {
    if (!seen.has(file)) {
      seen.add(file);
      withImports(file.dependencies, seen);
    }
  }
  return seen;
}
