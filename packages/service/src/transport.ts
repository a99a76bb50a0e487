import type { CallRoom } from "./call-room.ts";
import type { ReportFault } from "./error-wire.ts";
import type { Guard, Route } from "./handlers.ts";
import type { RpcMetrics } from "./metrics.ts";
import type { Tracing } from "./tracing.ts";

/** What both transports are made of. */
export interface TransportOptions<P> {
  readonly routes: readonly Route<P>[];
  readonly guard: Guard<P>;
  readonly metrics: RpcMetrics;
  readonly tracing: Tracing | undefined;
  readonly report: ReportFault;
  readonly room: CallRoom;
  /** Connections beyond this are closed as they come. */
  readonly maxConnections: number;
  /** Aborted when closing starts; handed to every call. */
  readonly draining: AbortSignal;
}
