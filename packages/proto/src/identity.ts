export * from "./gen/gatehouse/identity/v1/account_pb.js";
export * from "./gen/gatehouse/identity/v1/feed_pb.js";
export * from "./gen/gatehouse/identity/v1/key_pb.js";
export * from "./gen/gatehouse/identity/v1/meter_pb.js";
