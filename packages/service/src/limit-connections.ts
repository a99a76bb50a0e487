import type { Server } from "node:net";

/** Has a server close connections beyond `maxConnections` as they come. */
export function limitConnections(server: Server, maxConnections: number): void {
  server.maxConnections = maxConnections;
  // A worker of several would hand what it cannot take to the next, and full ones would play ball for ever. The types
  // do not know the property yet.
  Object.assign(server, { dropMaxConnection: true });
}
