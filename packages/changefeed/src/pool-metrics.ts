import { gauge, joined, labelled, type Metric } from "@gatehouse/service";
import type { DataSource } from "typeorm";

/** What node-postgres's pool says of itself; typeorm hands it out as it is. */
interface Pool {
  readonly totalCount: number;
  readonly idleCount: number;
  readonly waitingCount: number;
}

/** How a service's pools of database connections are used, by the names it gives them. */
export function poolMetrics(pools: Readonly<Record<string, DataSource>>): readonly Metric[] {
  return joined(...Object.entries(pools).map(([name, dataSource]) => metricsOf(name, poolOf(dataSource))));
}

function metricsOf(name: string, pool: () => Pool): readonly Metric[] {
  const metrics = [
    gauge(
      "gatehouse_database_connections",
      "Connections to the database, in use and idle.",
      "sum",
      () => ({ busy: pool().totalCount - pool().idleCount, idle: pool().idleCount }),
      "state",
    ),
    gauge(
      "gatehouse_database_waiting",
      "Work that waits for a connection.",
      "sum",
      () => pool().waitingCount,
    ),
  ];
  return labelled(metrics, "pool", name);
}

function poolOf({ driver }: DataSource): () => Pool {
  return () => (driver as unknown as { readonly master: Pool }).master;
}
