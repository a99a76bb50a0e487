import { parseArgs } from "node:util";
import { parseMeterColumns } from "./csv.ts";
import { type LimitWish, parseQuotaFlag } from "./limit-wish.ts";
import { defaultStatePath } from "./organization.ts";
import { ReplayError } from "./trace.ts";

/** How to run a replay. */
export interface ReplayConfig {
  readonly file: string;
  readonly format: "access-log" | "csv" | undefined;
  readonly timeColumn: string | undefined;
  readonly meterColumns: ReadonlyMap<string, string>;
  readonly by: string | undefined;
  readonly organization: string;
  readonly statePath: string;
  readonly mintKey: boolean;
  /** Keys given by the environment; files are named by the paths. */
  readonly rootKey: string | undefined;
  readonly rootKeyPath: string;
  readonly masterKey: string | undefined;
  readonly masterKeyPath: string | undefined;
  readonly limitsPath: string | undefined;
  readonly limits: readonly LimitWish[];
  readonly resource: string;
  readonly speed: number | undefined;
  readonly batch: number;
  readonly inFlight: number;
  readonly top: number;
  readonly settleMs: number;
  readonly transport: "grpc" | "connect";
  readonly identity: string | undefined;
  readonly authz: string | undefined;
  readonly metering: string | undefined;
}

export const USAGE = `npm run replay -- FILE [options]

  FILE                      an access log (combined or common format) or a CSV trace with a header
  --format access-log|csv   instead of recognizing it by its first line
  --time COLUMN             CSV: the column of the time; default timestamp, time, date or ts
  --meters M=COLUMN,…       CSV: columns to count, each as a meter, beside requests
  --by address|hash:N|zipf:N  who is whose subaccount: N departments of one size, or of very different sizes;
                            default: address for a log, hash:8 for a CSV
  --organization NAME       made if missing; default Replay
  --limits FILE             limits to set first, as JSON
  --quota M=UNITS/WINDOW            a limit on the organization, such as bytes=1000000000/month
  --department-quota M=UNITS/WINDOW a limit on every subaccount of the run
  --resource NAME           what every call asks for; default none, and scopes are not checked
  --speed X                 X times as fast as the trace was; default as fast as it goes
  --batch N, --in-flight N  calls in a BatchVerify (default 200, up to 1000), and batches at once (4)
  --top N                   how many subaccounts to print; default 10
  --settle SECONDS          how long to wait for usage to arrive; default 30
  --root-key FILE           default .gatehouse/root.key; or GATEHOUSE_ROOT_KEY, the key itself
  --state FILE              where the master key is kept; default .gatehouse/replay-<organization>.json
  --master-key FILE         instead of the kept one; or GATEHOUSE_MASTER_KEY, the key itself
  --mint-key                give an organization that is there, but whose key is lost, a new one
  --identity, --authz, --metering URL   default http://127.0.0.1 at 7101 to 7103, or 7201 to 7203
  --transport grpc|connect  default grpc

Ends with 0 where sent = admitted + refused, usage = admitted and parent = sum of children, to the unit, and every
quota gave what it holds and no more; 1 where not; 2 where the replay could not be made.`;

const text = { type: "string" } as const;
const texts = { type: "string", multiple: true } as const;
const flag = { type: "boolean", default: false } as const;

const spec = {
  format: text,
  time: text,
  meters: text,
  by: text,
  organization: text,
  limits: text,
  quota: texts,
  "department-quota": texts,
  resource: text,
  speed: text,
  batch: text,
  "in-flight": text,
  top: text,
  settle: text,
  "root-key": text,
  state: text,
  "master-key": text,
  "mint-key": flag,
  identity: text,
  authz: text,
  metering: text,
  transport: text,
  help: flag,
} as const;

/** Reads the command line and the environment. Undefined: help is wanted. Throws ReplayError. */
export function readReplayConfig(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): ReplayConfig | undefined {
  const { values, positionals } = parsed(args);
  if (values.help) return undefined;
  const [file, ...more] = positionals;
  if (file === undefined || more.length > 0) throw new ReplayError("one FILE is needed; --help says more");
  const organization = values.organization ?? "Replay";
  return {
    file,
    format: choice("--format", values.format, ["access-log", "csv"]),
    timeColumn: values.time,
    meterColumns: values.meters === undefined ? new Map() : parseMeterColumns(values.meters),
    by: values.by,
    organization,
    statePath: values.state ?? defaultStatePath(organization),
    mintKey: values["mint-key"],
    rootKey: values["root-key"] === undefined ? environment.GATEHOUSE_ROOT_KEY : undefined,
    rootKeyPath: values["root-key"] ?? ".gatehouse/root.key",
    masterKey: values["master-key"] === undefined ? environment.GATEHOUSE_MASTER_KEY : undefined,
    masterKeyPath: values["master-key"],
    limitsPath: values.limits,
    limits: [
      ...(values.quota ?? []).map((each) => parseQuotaFlag("org", "--quota", each)),
      ...(values["department-quota"] ?? []).map((each) => parseQuotaFlag("*", "--department-quota", each)),
    ],
    resource: values.resource ?? "",
    speed: values.speed === undefined ? undefined : number("--speed", values.speed, 0.001, 1e6),
    batch: whole("--batch", values.batch ?? "200", 1, 1000),
    inFlight: whole("--in-flight", values["in-flight"] ?? "4", 1, 64),
    top: whole("--top", values.top ?? "10", 0, 10_000),
    settleMs: 1000 * number("--settle", values.settle ?? "30", 0, 3600),
    transport: choice("--transport", values.transport, ["grpc", "connect"]) ?? "grpc",
    identity: url("--identity", values.identity),
    authz: url("--authz", values.authz),
    metering: url("--metering", values.metering),
  };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: spec, allowPositionals: true });
  } catch (cause) {
    throw new ReplayError((cause as Error).message, { cause });
  }
}

function choice<T extends string>(name: string, value: string | undefined, of: readonly T[]): T | undefined {
  if (value === undefined || of.includes(value as T)) return value as T | undefined;
  throw new ReplayError(`${name} ${value}: must be one of ${of.join(", ")}`);
}

function url(name: string, value: string | undefined): string | undefined {
  if (value === undefined || /^https?:$/.test(URL.parse(value)?.protocol ?? "")) return value;
  throw new ReplayError(`${name} ${value}: must be a URL, such as http://127.0.0.1:7101`);
}

function number(name: string, value: string, least: number, most: number): number {
  const read = value.trim() === "" ? Number.NaN : Number(value);
  if (read >= least && read <= most) return read;
  throw new ReplayError(`${name} ${value}: must be a number from ${least} to ${most}`);
}

function whole(name: string, value: string, least: number, most: number): number {
  const read = number(name, value, least, most);
  if (Number.isInteger(read)) return read;
  throw new ReplayError(`${name} ${value}: must be a whole number`);
}
