/** The largest request, in bytes, on both transports. 1000 calls in one BatchVerify stay below half of it. */
export const REQUEST_BYTES_MAX = 4 * 1024 * 1024;

/** The largest reply that our own clients take, in bytes. A page of 1000 fully labelled keys stays below. */
export const REPLY_BYTES_MAX = 16 * 1024 * 1024;

/** Calls in flight at once, unless the configuration says otherwise. One that waits was seen to take 10 kB: 100 MB. */
export const CALLS_MAX = 10_000;

/** Connections at once to each port, unless the configuration says otherwise. An idle one was seen to take 16 kB. */
export const CONNECTIONS_MAX = 10_000;

/** Smaller requests are held to the number of calls alone: a Verify is 300 bytes. */
export const LARGE_REQUEST_BYTES = 64 * 1024;

/**
 * Larger ones are also held to this sum, for each transport: sixteen of the largest, some 500 BatchVerify of 1000 keys.
 * Decoded they are up to ten times as large.
 */
export const LARGE_REQUESTS_BYTES_MAX = 64 * 1024 * 1024;
