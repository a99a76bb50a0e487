import { type Pepper, parsePepper } from "@gatehouse/keys";
import { type Setting, config as settings } from "@gatehouse/service";

/** `<version>:<secret>`, separated by commas; the first tags new keys. Or the file that `<name>_FILE` names. */
export function peppers(name: string): Setting<readonly Pepper[]> {
  const text = settings.secret(name);
  return {
    name,
    read: (env) =>
      text
        .read(env)
        .reveal()
        .split(",")
        .map((pepper) => parsePepper(pepper.trim())),
  };
}
