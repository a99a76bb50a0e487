import { type DescFile, type DescService, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { file_google_rpc_error_details } from "@gatehouse/proto/rpc";
import type { Server } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { service as healthService } from "grpc-health-check";

type LoadedPackage = ConstructorParameters<typeof ReflectionService>[0];

/**
 * Serves reflection (v1 and v1alpha) of `services`, everything that their files import, health, and the details of
 * errors: no file imports those, and without them grpcurl prints bytes.
 */
export function addReflection(server: Server, services: readonly DescService[]): void {
  const files = [...services.map(({ file }) => file), file_google_rpc_error_details];
  const own = [...withImports(files)].map((file) =>
    Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)),
  );
  const health = healthFiles().map((file) => Buffer.from(toBinary(FileDescriptorProtoSchema, file)));
  // Of a loaded package, reflection reads only the descriptors that hang on its entries.
  const loaded = { gatehouse: { fileDescriptorProtos: [...own, ...health] } } as unknown as LoadedPackage;
  // Files hold services that are only imported here, or served elsewhere: those are described, not listed.
  const listed = [...services.map(({ typeName }) => typeName), "grpc.health.v1.Health"];
  new ReflectionService(loaded, { services: listed }).addToServer(server);
}

// grpc-health-check keeps its descriptor as proto-loader makes it, with map entries under names that clients
// refuse: the entry of `statuses` must be called StatusesEntry.
function healthFiles(): FileDescriptorProto[] {
  const { requestType } = healthService.Check!;
  const { fileDescriptorProtos } = requestType as unknown as { fileDescriptorProtos: Buffer[] };
  return fileDescriptorProtos.map((bytes) => {
    const file = fromBinary(FileDescriptorProtoSchema, bytes);
    for (const message of file.messageType) {
      for (const entry of message.nestedType.filter(({ options }) => options?.mapEntry)) {
        const field = message.field.find(({ typeName }) => typeName === entry.name)!;
        entry.name += "Entry";
        field.typeName = entry.name;
      }
    }
    return file;
  });
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
