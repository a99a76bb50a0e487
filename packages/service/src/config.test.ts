import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import {
  address,
  ConfigError,
  choice,
  durationMs,
  flag,
  integer,
  list,
  readConfig,
  secret,
  text,
} from "./config.ts";
import { optional } from "./setting.ts";

const spec = {
  grpc: address("GATEHOUSE_GRPC", { host: "127.0.0.1", port: 7101 }),
  database: {
    url: secret("GATEHOUSE_DATABASE_URL"),
    pool: integer("GATEHOUSE_POOL", { min: 1, max: 100 }, 10),
  },
  poll: durationMs("GATEHOUSE_POLL", { min: 10, max: 60_000 }, 250),
  level: choice("GATEHOUSE_LOG_LEVEL", ["info", "debug"], "info"),
  nats: optional(list("GATEHOUSE_NATS")),
  fsync: flag("GATEHOUSE_FSYNC", false),
  name: text("GATEHOUSE_NAME", "x"),
};

describe("readConfig", () => {
  it("gives defaults, and what is set instead of them", () => {
    const defaults = readConfig({ GATEHOUSE_DATABASE_URL: "postgres://", GATEHOUSE_POLL: "" }, spec);
    expect(defaults).toMatchObject({
      grpc: { port: 7101 },
      poll: 250,
      level: "info",
      fsync: false,
      name: "x",
    });
    expect(defaults.nats).toBeUndefined();
    const set = readConfig(
      {
        GATEHOUSE_GRPC: "[::1]:0",
        GATEHOUSE_DATABASE_URL: "postgres://",
        GATEHOUSE_POOL: "3",
        GATEHOUSE_POLL: "10s",
        GATEHOUSE_NATS: "a:1, b:2",
        GATEHOUSE_FSYNC: "true",
      },
      spec,
    );
    expect(set).toMatchObject({
      grpc: { host: "::1", port: 0 },
      poll: 10_000,
      nats: ["a:1", "b:2"],
      fsync: true,
    });
    expect(set.database.pool).toBe(3);
    expect(set.database.url.reveal()).toBe("postgres://");
  });

  it("names every variable that is missing or wrong, at once, and repeats no value", () => {
    const env = {
      GATEHOUSE_GRPC: "localhost",
      GATEHOUSE_POOL: "0x10",
      GATEHOUSE_POLL: "5 apples",
      GATEHOUSE_LOG_LEVEL: "loud",
      GATEHOUSE_NATS: "a,,b",
      GATEHOUSE_FSYNC: "yes",
    };
    const error = (() => {
      try {
        readConfig(env, spec);
      } catch (thrown) {
        return thrown as ConfigError;
      }
    })();
    expect(error).toBeInstanceOf(ConfigError);
    expect(error!.problems).toEqual([
      "GATEHOUSE_GRPC must be host:port",
      "GATEHOUSE_DATABASE_URL is required",
      "GATEHOUSE_POOL must be from 1 to 100",
      "GATEHOUSE_POLL must be from 10ms to 60000ms",
      "GATEHOUSE_LOG_LEVEL must be one of info, debug",
      "GATEHOUSE_NATS must be values separated by commas",
      "GATEHOUSE_FSYNC must be true or false",
    ]);
    for (const value of Object.values(env)) {
      expect(error!.message).not.toContain(value);
    }
  });

  it("reads secrets from files, and no way of printing shows one", () => {
    const path = join(mkdtempSync(join(tmpdir(), "gatehouse-config-")), "secret");
    writeFileSync(path, "hunter2hunter2\n");
    const { key } = readConfig({ KEY_FILE: path }, { key: optional(secret("KEY", { minLength: 8 })) });
    expect(key!.reveal()).toBe("hunter2hunter2");
    expect(`${key} ${JSON.stringify({ key })} ${inspect({ key })}`).not.toContain("hunter2");
    const short = () => readConfig({ KEY: "hunter2" }, { key: secret("KEY", { minLength: 8 }) });
    expect(short).toThrow("KEY must be at least 8 characters");
    expect(() => readConfig({ KEY_FILE: "/nowhere" }, { key: secret("KEY") })).toThrow(
      "KEY is to come from a file",
    );
  });
});
