export {
  discardPostgres,
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  startPostgres,
} from "./embedded-postgres.ts";
export { freePort } from "./free-port.ts";
export { findNatsServer, type NatsServer, startNatsServer } from "./nats-server.ts";
export {
  anyPorts,
  type Endpoints,
  type ServiceAddresses,
  type Stack,
  type StackOptions,
  type StackPorts,
  startStack,
} from "./stack.ts";
