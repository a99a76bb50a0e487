/**
 * The yardstick: a bare grpc-js server that decodes a VerifyRequest and answers a VerifyResponse like the ones
 * that authz gives, and does nothing else. Prints its port.
 *
 * node echo-server.ts <file with the response, base64>
 */
import { readFileSync } from "node:fs";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { AuthzService, VerifyRequestSchema, VerifyResponseSchema } from "@gatehouse/proto/authz";
import { Server, ServerCredentials } from "@grpc/grpc-js";

const response = fromBinary(
  VerifyResponseSchema,
  Buffer.from(readFileSync(process.argv[2]!, "utf8"), "base64"),
);
const method = AuthzService.method.verify;
const server = new Server({ "grpc.enable_channelz": 0, "grpc.max_concurrent_streams": 1000 });
server.addService(
  {
    verify: {
      path: `/${method.parent.typeName}/${method.name}`,
      requestStream: false,
      responseStream: false,
      requestSerialize: (message) => Buffer.from(toBinary(VerifyRequestSchema, message)),
      requestDeserialize: (bytes) => fromBinary(VerifyRequestSchema, bytes),
      responseSerialize: (message) => Buffer.from(toBinary(VerifyResponseSchema, message)),
      responseDeserialize: (bytes) => fromBinary(VerifyResponseSchema, bytes),
    },
  },
  {
    verify: (_call: unknown, callback: (error: null, value: object) => void) =>
      callback(null, create(VerifyResponseSchema, response)),
  },
);
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(port);
});
process.on("SIGTERM", () => process.exit(0));
