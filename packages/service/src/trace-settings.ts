import { type Environment, type Setting, setting } from "./setting.ts";

/** Headers that the exporter would send along, to whatever endpoint. */
const HEADERS = ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"];

/**
 * Where spans are sent by OTLP over HTTP, such as `http://collector:4318/v1/traces`; `off`, which is the default:
 * nowhere. OpenTelemetry's own variables have no say, and those that its exporter would heed all the same are refused
 * beside this.
 */
export function traceEndpoint(name: string): Setting<URL | undefined> {
  return {
    name,
    read(env: Environment): URL | undefined {
      const endpoint = setting(name, (text) => (text === "off" ? text : urlOf(text)), "off").read(env);
      if (endpoint === "off") return undefined;
      const other = HEADERS.find((header) => env[header]?.trim());
      if (other !== undefined)
        throw new Error(`is set, and so is ${other}, which would be sent there: unset it`);
      return endpoint;
    },
  };
}

/** A share from 0 to 1, such as `0.01`. */
export function share(name: string, fallback: number): Setting<number> {
  const parse = (text: string) => {
    const value = /^\d*\.?\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= 0 && value <= 1)) throw new Error("must be from 0 to 1");
    return value;
  };
  return setting(name, parse, fallback);
}

function urlOf(text: string): URL {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) throw new Error("must be an http or https URL");
  // They would show up in errors and logs.
  if (url.username !== "" || url.password !== "") throw new Error("must not hold a user name or password");
  return url;
}
