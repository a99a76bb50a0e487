export * from "./gen/gatehouse/authz/v1/authz_pb.js";
