/**
 * What the tests need and npm does not bring: a NATS server. Found where it is, or installed from the
 * distribution where that can be done unasked; else the one line that installs it is printed. With `--gateways` also the
 * gateways of deploy/gateways, without which their tests are skipped.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";

/** Debian 12's. The bus uses core NATS only. */
const OLDEST = [2, 9] as const;
const INSTALL = installing("nats-server");
/** By the program that each has. */
const GATEWAYS = { nginx: "nginx-light", caddy: "caddy", haproxy: "haproxy" };

/** Is `version`, as `nats-server --version` prints it, one that the tests can use? */
export function isRecentEnough(version: string): boolean {
  const [, major, minor] = /v(\d+)\.(\d+)\./.exec(version) ?? [];
  if (major === undefined) return false;
  return Number(major) > OLDEST[0] || (Number(major) === OLDEST[0] && Number(minor) >= OLDEST[1]);
}

/** The first nats-server that is recent enough. */
export function findNatsServer(directories: readonly string[]): string | undefined {
  return directories
    .map((directory) => join(directory, "nats-server"))
    .find((path) => isExecutable(path) && isRecentEnough(versionOf(path)));
}

function placesToLook(): string[] {
  const path = (process.env.PATH ?? "").split(delimiter).filter(Boolean);
  // Where Debian and `go install` put it, which is not on everyone's PATH.
  return [...path, "/usr/sbin", "/usr/local/bin", join(homedir(), "go/bin")];
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function versionOf(path: string): string {
  return spawnSync(path, ["--version"], { encoding: "utf8", timeout: 5000 }).stdout ?? "";
}

function installing(...packages: readonly string[]): string {
  return `apt-get update && apt-get install -y --no-install-recommends ${packages.join(" ")}`;
}

function install(command: string): void {
  // Debian starts what it installs, unless this policy says no (101): tests start their own, on free ports.
  const withoutStarting = `
    if [ ! -e /usr/sbin/policy-rc.d ]; then
      trap 'rm -f /usr/sbin/policy-rc.d' EXIT
      printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
      chmod 755 /usr/sbin/policy-rc.d
    fi
    ${command}`;
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  spawnSync("sh", ["-ec", withoutStarting], {
    stdio: ["ignore", "inherit", "inherit"],
    env,
    timeout: 300_000,
  });
}

if (import.meta.main) {
  const isDebianRoot = existsSync("/etc/debian_version") && process.getuid?.() === 0;
  if (findNatsServer(placesToLook()) === undefined && isDebianRoot) install(INSTALL);
  if (findNatsServer(placesToLook()) === undefined) {
    console.error(`The tests need a nats-server of at least ${OLDEST.join(".")}. On Debian or Ubuntu:`);
    console.error(`  sudo sh -c '${INSTALL}'`);
    process.exitCode = 1;
  }
  if (process.argv.includes("--gateways") && isDebianRoot) {
    const missing = Object.entries(GATEWAYS).filter(
      ([program]) => !placesToLook().some((place) => isExecutable(join(place, program))),
    );
    if (missing.length > 0) install(installing(...missing.map(([, name]) => name)));
  }
}
