export * from "./gen/gatehouse/metering/v1/alert_pb.js";
export * from "./gen/gatehouse/metering/v1/credit_pb.js";
export * from "./gen/gatehouse/metering/v1/feed_pb.js";
export * from "./gen/gatehouse/metering/v1/holding_pb.js";
export * from "./gen/gatehouse/metering/v1/ingest_pb.js";
export * from "./gen/gatehouse/metering/v1/lease_pb.js";
export * from "./gen/gatehouse/metering/v1/limit_pb.js";
export * from "./gen/gatehouse/metering/v1/usage_pb.js";
