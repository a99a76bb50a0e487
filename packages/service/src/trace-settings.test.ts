import { describe, expect, it } from "vitest";
import { share, traceEndpoint } from "./trace-settings.ts";

const endpoint = traceEndpoint("ENDPOINT");

describe("where traces are sent", () => {
  it("is what the setting says, whatever OpenTelemetry's own variables say", () => {
    const url = endpoint.read({
      ENDPOINT: "https://collector:4318/v1/traces",
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://elsewhere",
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://elsewhere",
    });
    expect(url?.href).toBe("https://collector:4318/v1/traces");
  });

  it.each([{}, { ENDPOINT: "" }, { ENDPOINT: "off" }])(
    "is nowhere by %o, and nothing is refused then",
    (env) => {
      expect(endpoint.read({ ...env, OTEL_EXPORTER_OTLP_HEADERS: "a=b" })).toBeUndefined();
    },
  );

  it.each(["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"])(
    "is refused beside %s, which would be sent along",
    (name) => {
      const read = () => endpoint.read({ ENDPOINT: "http://collector", [name]: "authorization=secret" });
      expect(read).toThrow(name);
      expect(read).not.toThrow("secret");
    },
  );

  it.each(["collector:4318", "ftp://collector", "http://user:password@collector", "/v1/traces"])(
    "is not %s",
    (url) => {
      expect(() => endpoint.read({ ENDPOINT: url })).toThrow(/^must/);
    },
  );
});

describe("a share", () => {
  it.each([
    ["0", 0],
    ["1", 1],
    ["0.01", 0.01],
    [".5", 0.5],
    ["1.0", 1],
  ])("may be written %s", (text, value) => {
    expect(share("RATIO", 0.1).read({ RATIO: text })).toBe(value);
  });

  it.each(["-1", "1.1", "2", "1e-3", "0x1", "half", "0.5.5", "NaN"])("is not %s", (text) => {
    expect(() => share("RATIO", 0.1).read({ RATIO: text })).toThrow("from 0 to 1");
  });
});
