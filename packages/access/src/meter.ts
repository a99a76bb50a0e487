/** What a meter can be called. */
export const METER_NAME = /^[a-z][a-z0-9_]{0,62}$/;
