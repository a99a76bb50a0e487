import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "@gatehouse/stack";
import { until } from "../../system/until.ts";

/** What a gateway stands between. */
export interface Surroundings {
  /** `host:port` of authz's HTTP. */
  readonly authz: string;
  readonly backendPort: number;
  readonly verifierKey: string;
}

/** A program, and how it runs what is in deploy/gateways. */
export interface GatewayProgram {
  readonly name: string;
  /** The Debian package that has it. */
  readonly package: string;
  /** Files of deploy/gateways, the first being what it is started with. */
  readonly files: readonly string[];
  /** What the example leaves to the machine that it runs on. */
  readonly adapt?: (config: string, directory: string) => string;
  readonly command: (config: string, directory: string) => readonly string[];
  /** Whether the example passes one on in `authorization`. */
  readonly passesUpstreamCredential: boolean;
  /** Whether in any header that there is one for. */
  readonly passesAnyCredential?: boolean;
  readonly passesWebsockets: boolean;
  /** The lines that keep a caller from saying who it is. */
  readonly guarding: RegExp;
  /** The lines that keep its `Connection` and `Upgrade` from the backend, where it takes some. */
  readonly hops?: RegExp;
  /** The line that refuses CONNECT, where it would pass that on. */
  readonly connects?: RegExp;
}

export const GATEWAYS: readonly GatewayProgram[] = [
  {
    name: "nginx",
    package: "nginx-light",
    files: ["nginx.conf"],
    adapt: (config, directory) => {
      const kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
      const paths = kinds.map((kind) => `${kind}_temp_path ${directory}/${kind};`).join(" ");
      return config.replace("http {", `http { access_log off; ${paths}`);
    },
    command: (config, directory) => {
      const settings = `daemon off; master_process off; pid ${directory}/pid; error_log stderr warn;`;
      return ["nginx", "-c", config, "-p", directory, "-e", "stderr", "-g", settings];
    },
    passesUpstreamCredential: true,
    passesWebsockets: false,
    guarding: /^ +proxy_set_header gatehouse-(?!verifier VERIFIER_KEY).*$/gm,
  },
  {
    name: "caddy",
    package: "caddy",
    files: ["Caddyfile"],
    adapt: (config) => `{\n\tadmin off\n}\n${config}`,
    command: (config) => ["caddy", "run", "--adapter", "caddyfile", "--config", config],
    passesUpstreamCredential: false,
    passesWebsockets: true,
    guarding: /^\t+(request_header|copy_headers) .*$/gm,
    hops: /^\t+request_header (@\w+ )?-?(Connection|Upgrade).*$/gm,
    connects: /^\t+respond @tunnel.*$/m,
  },
  {
    name: "haproxy",
    package: "haproxy",
    files: ["haproxy.cfg", "haproxy.lua"],
    command: (config, directory) => ["haproxy", "-db", "-C", directory, "-f", config],
    passesUpstreamCredential: true,
    passesAnyCredential: true,
    passesWebsockets: true,
    hops: /^ +http-request (del|set)-header (connection|upgrade)\b.*$/gm,
    connects: /^ +http-request deny .* METH_CONNECT$/m,
    guarding: /^.*txn\.http:req_(set|del)_header.*$/gm,
  },
];

const EXAMPLES = join(import.meta.dirname, "../../../deploy/gateways");
/** Where Debian puts servers, which is not on everyone's PATH. */
const PATH = `${process.env.PATH}:/usr/sbin`;

/** Can it be run here? */
export function isInstalled({ name }: GatewayProgram): boolean {
  return (
    spawnSync(name, [name === "caddy" ? "version" : "-v"], { env: { PATH }, timeout: 10_000 }).status === 0
  );
}

/** A gateway as deploy/gateways sets it up, on a port of its own. */
export class Gateway {
  readonly url: string;
  readonly log: string[] = [];
  readonly #child: ChildProcess;
  readonly #directory: string;

  private constructor(url: string, child: ChildProcess, directory: string) {
    this.url = url;
    this.#child = child;
    this.#directory = directory;
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.on("data", (chunk) => this.log.push(String(chunk)));
    }
  }

  /** `without` are lines to leave out, for negative controls. */
  static async start(
    program: GatewayProgram,
    surroundings: Surroundings,
    without?: RegExp,
  ): Promise<Gateway> {
    const directory = await mkdtemp(join(tmpdir(), "gatehouse-gateway-"));
    await chmod(directory, 0o755);
    const port = await freePort();
    for (const file of program.files) {
      const whole = await readFile(join(EXAMPLES, file), "utf8");
      const example = without === undefined ? whole : whole.replace(without, "");
      const adapted =
        file === program.files[0] && program.adapt ? program.adapt(example, directory) : example;
      await writeFile(join(directory, file), placed(adapted, port, surroundings));
    }
    const [command, ...parameters] = program.command(join(directory, program.files[0]!), directory);
    // What it keeps goes away with it, and it reads nothing of the developer's.
    const env = { PATH, HOME: directory };
    const child = spawn(command!, parameters, { cwd: directory, env, stdio: ["ignore", "pipe", "pipe"] });
    const killed = () => child.kill("SIGKILL");
    process.once("exit", killed);
    child.once("exit", () => process.off("exit", killed));
    const gateway = new Gateway(`http://127.0.0.1:${port}`, child, directory);
    const ended = once(child, "exit").then(() => {
      throw new Error("it ended");
    });
    ended.catch(() => {}); // in its own time it is to end
    try {
      await Promise.race([until(`${program.name} listens`, () => accepts(port), 15_000), ended]);
    } catch (error) {
      await gateway.stop();
      throw new Error(`${program.name} did not start:\n${gateway.log.join("")}`, { cause: error });
    }
    return gateway;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const gone = once(this.#child, "exit");
      this.#child.kill("SIGKILL");
      await gone;
    }
    await rm(this.#directory, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

// Each example says these, and says where it listens without an address: on loopback only, here.
function placed(config: string, port: number, { authz, backendPort, verifierKey }: Surroundings): string {
  return config
    .replaceAll("127.0.0.1:7202", authz)
    .replaceAll("127.0.0.1:9000", `127.0.0.1:${backendPort}`)
    .replaceAll("VERIFIER_KEY", verifierKey)
    .replace("listen 8080;", `listen 127.0.0.1:${port};`)
    .replace("bind :8080", `bind 127.0.0.1:${port}`)
    .replace(/^:8080 \{/m, `http://127.0.0.1:${port} {\n\tbind 127.0.0.1`);
}

async function accepts(port: number): Promise<boolean> {
  const socket = createConnection(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } finally {
    socket.destroy();
  }
}
