import type { LeaseSpend } from "./usage.ts";

/**
 * An answer may be lost after what it lends was lent: its holder lives on, and can neither spend those leases nor close
 * them by their ids. So the ids end with the number of the request, and a holder that will take no answer to it any more
 * closes `.17`: whatever request 17 was lent. Nothing was spent of it.
 */
export function leaseIdOf(id: string, request: number | undefined): string {
  return request === undefined ? id : `${id}.${request}`;
}

/** The requests that a batch closes, by how their leases' ids end; and the leases that it names. */
export function unheardIn(spends: readonly LeaseSpend[]): {
  readonly endings: readonly string[];
  readonly named: readonly LeaseSpend[];
} {
  const isEnding = ({ leaseId }: LeaseSpend) => leaseId.startsWith(".");
  const endings = spends.filter((spend) => isEnding(spend) && spend.closed).map(({ leaseId }) => leaseId);
  return { endings, named: spends.filter((spend) => !isEnding(spend)) };
}
