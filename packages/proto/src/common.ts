export * from "./gen/gatehouse/common/v1/access_pb.js";
export * from "./gen/gatehouse/common/v1/error_reason_pb.js";
