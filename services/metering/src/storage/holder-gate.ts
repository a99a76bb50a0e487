/**
 * The gate of a holder: an acquire relies on it, the end of its epoch changes it. A process that died may have an
 * acquire under way still; behind the gate either that acquire's leases are there to be closed, or it finds that
 * the epoch has ended and lends nothing.
 */
export function holderGate(holder: string): string {
  return `holder:${holder}`;
}
