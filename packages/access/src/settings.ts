import { type EncryptionKey, type Pepper, parseEncryptionKey, parsePepper } from "@gatehouse/keys";
import { type Setting, config as settings } from "@gatehouse/service";
import { AddressList } from "./address.ts";

/** `<version>:<secret>`, separated by commas; the first tags new keys. Or the file that `<name>_FILE` names. */
export function peppers(name: string): Setting<readonly Pepper[]> {
  return secrets(name, parsePepper);
}

/** `<version>:<secret>`, separated by commas; the first seals, all open. Or the file that `<name>_FILE` names. */
export function encryptionKeys(name: string): Setting<readonly EncryptionKey[]> {
  return secrets(name, parseEncryptionKey);
}

/** Addresses and ranges in CIDR, separated by commas. */
export function addressList(name: string): Setting<AddressList> {
  const ranges = settings.list(name);
  return { name, read: (env) => new AddressList(ranges.read(env)) };
}

function secrets<T>(name: string, parse: (text: string) => T): Setting<readonly T[]> {
  const text = settings.secret(name);
  return {
    name,
    read: (env) =>
      text
        .read(env)
        .reveal()
        .split(",")
        .map((secret) => parse(secret.trim())),
  };
}
