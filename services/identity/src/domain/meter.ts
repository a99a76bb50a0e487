/** Something that is counted. */
export interface Meter {
  readonly name: string;
  readonly title: string;
  readonly unit: string;
  readonly createdAt: Date;
}

/** The meter that every deployment has from its first start. */
export const REQUESTS: Omit<Meter, "createdAt"> = { name: "requests", title: "Requests", unit: "request" };

/** Every call may charge every meter, so they stay few. */
export const MAX_METERS = 100;
