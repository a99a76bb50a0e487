/** The meter that every deployment has from its first start. */
export const REQUESTS = { name: "requests", body: { title: "Requests", unit: "request" } } as const;
