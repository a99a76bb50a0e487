import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const execute = promisify(execFile);
const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** A certificate and its key, and the files that they are in. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
  readonly certPath: string;
  readonly keyPath: string;
}

/** Why tests that need certificates cannot run here; undefined where they can. */
export const whyNoCertificates: string | undefined = await execute("openssl", ["version"]).then(
  () => undefined,
  () => "openssl is not installed",
);

/** A certificate authority of a test, on disk as long as it lives. */
export class TestCa implements AsyncDisposable {
  readonly #directory: string;
  readonly cert: string;
  #made = 0;

  static async make(): Promise<TestCa> {
    const directory = await mkdtemp(join(tmpdir(), "gatehouse-ca-"));
    const [key, cert] = [join(directory, "ca.key"), join(directory, "ca.pem")];
    const subject = ["-subj", "/CN=a CA for a test", "-days", "2"];
    await execute("openssl", ["req", "-x509", ...NEW_KEY, "-keyout", key, "-out", cert, ...subject]);
    return new TestCa(directory, await readFile(cert, "utf8"));
  }

  private constructor(directory: string, cert: string) {
    this.#directory = directory;
    this.cert = cert;
  }

  get certPath(): string {
    return join(this.#directory, "ca.pem");
  }

  /** A server's, for loopback. */
  server(): Promise<Certificate> {
    return this.issue("/CN=localhost", "IP:127.0.0.1,DNS:localhost");
  }

  /** For a subject such as `/CN=key_…`, with alternative names such as `URI:gatehouse:key_…`. */
  async issue(subject: string, names?: string, days = "1"): Promise<Certificate> {
    const number = ++this.#made;
    const path = (end: string) => join(this.#directory, `${number}.${end}`);
    const [keyPath, request, extensions, certPath] = ["key", "csr", "ext", "pem"].map(path) as [
      string,
      string,
      string,
      string,
    ];
    await execute("openssl", [
      "req",
      "-new",
      ...NEW_KEY,
      "-keyout",
      keyPath,
      "-out",
      request,
      "-subj",
      subject,
    ]);
    await writeFile(extensions, names === undefined ? "" : `subjectAltName=${names}\n`);
    const ca = ["-CA", this.certPath, "-CAkey", join(this.#directory, "ca.key"), "-CAcreateserial"];
    const out = ["-days", days, "-extfile", extensions, "-out", certPath];
    await execute("openssl", ["x509", "-req", "-in", request, ...ca, ...out]);
    const [cert, key] = await Promise.all([readFile(certPath, "utf8"), readFile(keyPath, "utf8")]);
    return { cert, key, certPath, keyPath };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return rm(this.#directory, { recursive: true, force: true });
  }
}
