/** The largest request, in bytes, on both transports. 1000 calls in one BatchVerify stay below half of it. */
export const REQUEST_BYTES_MAX = 4 * 1024 * 1024;

/** The largest reply that our own clients take, in bytes. A page of 1000 fully labelled keys stays below. */
export const REPLY_BYTES_MAX = 16 * 1024 * 1024;
