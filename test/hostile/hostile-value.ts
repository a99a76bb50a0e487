import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import fc from "fast-check";

/** What JSON can say. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** More than any list, map or mask takes. */
const MANY = 10_000;
const MEGABYTE = 1_000_000;

const SAME: Json = Array.from({ length: 30 }, () => "same");

/** Numbers at and beyond every edge, as JSON numbers and as text, which is how int64 travels. */
const NUMBERS: readonly Json[] = [-1, 0, 1, 501, 2 ** 31 - 1, -(2 ** 31), "-1", "9007199254740993"];
const INT64: readonly Json[] = ["9223372036854775807", "-9223372036854775808"];
const NO_NUMBERS: readonly Json[] = [
  2 ** 31,
  2 ** 53,
  1e308,
  1.5,
  "NaN",
  "Infinity",
  "9223372036854775808",
  "",
  "1_0",
];

const TEXTS: readonly string[] = [
  "",
  " ",
  "x",
  "\u0000",
  "a\u0000b",
  "\ud800",
  "\udc00\ud800",
  "\u202eevil\u202c",
  "\u200b",
  "\ufeff",
  "\u2028",
  "\u0301".repeat(100),
  "👩‍👩‍👧‍👦".repeat(50),
  "ﷺ".repeat(60),
  "x".repeat(201),
  "x".repeat(5000),
  "../../etc/passwd",
  "%00",
  "%s%n",
  "' OR '1'='1",
  "{{7*7}}",
  "<script>",
  "__proto__",
  "constructor",
  "**",
  "!**",
  "*.".repeat(100),
  "a.".repeat(5000),
  "!",
  "::ffff:1.2.3.4/200",
  "999.1.1.1",
  "http://[",
  "javascript:alert(1)",
  "-----",
  "acc_",
  "key_00000000000000000000",
];
const HUGE = "x".repeat(MEGABYTE);

const TIMES: readonly string[] = [
  "0001-01-01T00:00:00Z",
  "1969-12-31T23:59:59.999Z",
  "9999-12-31T23:59:59.999999999Z",
  "2026-02-28T23:59:60Z",
  "2099-01-01T00:00:00.000000001Z",
];
const NO_TIMES: readonly Json[] = [
  "10000-01-01T00:00:00Z",
  "0000-01-01T00:00:00Z",
  "2026-02-30T00:00:00Z",
  "soon",
  "",
  0,
];
const SPANS: readonly string[] = [
  "-1s",
  "0s",
  "0.000000001s",
  "-0.000000001s",
  "315576000000s",
  "-315576000000s",
];
const NO_SPANS: readonly Json[] = ["315576000001s", "1e9s", "1", "s", "99999999999999999999s", 5];

export interface HostileOptions {
  /** Only what the wire format of the message can carry: for gRPC. */
  readonly typed: boolean;
  /** Ids, names and tokens of things that exist, to put where they do not belong: an account as its own parent. */
  readonly known: readonly string[];
}

/** A message that has some of its fields, each with what nobody should send. */
export function hostileMessage(message: DescMessage, options: HostileOptions): fc.Arbitrary<Json> {
  const fields = message.fields.map((field) =>
    hostileField(field, options).map((value): [string, Json] => [field.name, value]),
  );
  const unknown: fc.Arbitrary<[string, Json]> = fc
    .constantFrom("no_such_field", "__proto__", "constructor", "x".repeat(1000), "", "\u0000")
    .map((name) => [name, 1]);
  const any = options.typed || fields.length === 0 ? fields : [...fields, ...fields, unknown];
  if (any.length === 0)
    return options.typed ? fc.constant({}) : unknown.map((entry) => Object.fromEntries([entry]));
  return fc
    .array(fc.oneof(...any), { minLength: 1, maxLength: 3 })
    .map((entries) => withoutRivals(message, entries));
}

// JSON refuses two fields of a oneof before anything else is looked at, so only one is sent.
function withoutRivals(message: DescMessage, entries: readonly [string, Json][]): Json {
  const taken = new Set<string>();
  const kept = entries.filter(([name]) => {
    const group = message.fields.find((field) => field.name === name)?.oneof?.name ?? name;
    return taken.has(group) ? false : taken.add(group);
  });
  // Not by assignment: `__proto__` is a name like any other here.
  return Object.fromEntries(kept);
}

function hostileField(field: DescField, options: HostileOptions): fc.Arbitrary<Json> {
  const right = hostileOfType(field, options);
  return options.typed
    ? right
    : fc.oneof({ weight: 4, arbitrary: right }, { weight: 1, arbitrary: wrongType });
}

const wrongType: fc.Arbitrary<Json> = fc.constantFrom<Json[]>(
  null,
  true,
  -1,
  1e308,
  "text",
  [],
  {},
  [null],
  [[]],
  { a: { b: {} } },
  nested(500),
);

function nested(depth: number): Json {
  let value: Json = 1;
  for (let i = 0; i < depth; i++) value = [value];
  return value;
}

function hostileOfType(field: DescField, options: HostileOptions): fc.Arbitrary<Json> {
  switch (field.fieldKind) {
    case "list":
      return hostileList(field, options);
    case "map":
      return hostileMap(options);
    case "message":
      return hostileNested(field.message, options);
    case "enum":
      return fc.constantFrom<Json[]>(
        0,
        1,
        99,
        -1,
        2 ** 31 - 1,
        ...(options.typed ? [] : ["NO_SUCH", "", 1.5]),
      );
    default:
      return hostileScalar(field.scalar, options);
  }
}

function hostileList(field: DescField & { fieldKind: "list" }, options: HostileOptions): fc.Arbitrary<Json> {
  const item =
    field.listKind === "message"
      ? hostileNested(field.message, options)
      : field.listKind === "enum"
        ? fc.constantFrom<Json[]>(0, 99, -1)
        : hostileScalar(field.scalar, options);
  return fc.oneof(
    fc.array(item, { maxLength: 3 }),
    // Ten thousand long ones are refused for their bytes before anything looks at their number.
    item
      .filter((value) => JSON.stringify(value).length < 100)
      .map((value) => Array.from({ length: MANY }, () => value)),
    fc.constant<Json>(options.typed ? [] : SAME),
  );
}

function hostileMap(options: HostileOptions): fc.Arbitrary<Json> {
  const key = fc.constantFrom(...TEXTS.filter((text) => !options.typed || text !== "__proto__"));
  const some = fc.array(fc.tuple(key, hostileText(options)), { minLength: 1, maxLength: 3 });
  const many = Object.fromEntries(Array.from({ length: MANY }, (_, n) => [`label${n}`, "x"]));
  return fc.oneof(
    some.map((entries) => Object.fromEntries(entries) as Json),
    fc.constant(many),
  );
}

function hostileNested(message: DescMessage, options: HostileOptions): fc.Arbitrary<Json> {
  switch (message.typeName) {
    case "google.protobuf.Timestamp":
      return fc.constantFrom<Json[]>(...TIMES, ...(options.typed ? [] : NO_TIMES));
    case "google.protobuf.Duration":
      return fc.constantFrom<Json[]>(...SPANS, ...(options.typed ? [] : NO_SPANS));
    case "google.protobuf.FieldMask":
      return fc.constantFrom<Json[]>(
        "name",
        "x".repeat(300),
        "labels,labels",
        "constructor",
        "a.b.c",
        MASK,
        "",
        ...(options.typed ? [] : ["*", "_"]),
      );
    default:
      return hostileMessage(message, options);
  }
}

const MASK = Array.from({ length: MANY }, (_, n) => `a${n}`).join();

function hostileScalar(scalar: ScalarType, options: HostileOptions): fc.Arbitrary<Json> {
  switch (scalar) {
    case ScalarType.STRING:
      return hostileText(options);
    case ScalarType.BOOL:
      return fc.constantFrom<Json[]>(true, false, ...(options.typed ? [] : ["yes", 1]));
    case ScalarType.BYTES:
      return fc.constantFrom<Json[]>("", "AAAA", "A".repeat(MEGABYTE), ...(options.typed ? [] : ["?", 1]));
    case ScalarType.INT64:
      return fc.constantFrom<Json[]>(...NUMBERS, ...INT64, ...(options.typed ? [] : NO_NUMBERS));
    default:
      return fc.constantFrom<Json[]>(
        ...NUMBERS.filter((each) => each !== "9007199254740993"),
        ...(options.typed ? [] : [...NO_NUMBERS, ...INT64]),
      );
  }
}

function hostileText({ known }: HostileOptions): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...TEXTS) },
    { weight: 2, arbitrary: fc.constantFrom(...known) },
    { weight: 2, arbitrary: fc.string({ unit: "binary", maxLength: 80 }) },
    { weight: 1, arbitrary: fc.constant(HUGE) },
  );
}
