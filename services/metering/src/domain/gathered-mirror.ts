import type { AccountNode, KeyView } from "@gatehouse/access";
import type { AccountName, StoredMirror } from "./mirror.ts";

/**
 * The mirror, asked once for what several calls look for in one turn of the event loop: calls of one key, or about one
 * account. A read begins after everybody who shares it asked, so nobody is answered what was true before.
 */
export class GatheredMirror implements StoredMirror {
  readonly #mirror: StoredMirror;
  readonly #keys: Gathered<string, KeyView | undefined>;
  readonly #chains: Gathered<AccountName, readonly AccountNode[] | undefined>;

  constructor(mirror: StoredMirror) {
    this.#mirror = mirror;
    this.#keys = new Gathered((keyId) => mirror.findKey(keyId));
    this.#chains = new Gathered((name) => mirror.findChain(name));
  }

  findKey(keyId: string): Promise<KeyView | undefined> {
    return this.#keys.read(keyId, keyId);
  }

  findChain(name: AccountName): Promise<readonly AccountNode[] | undefined> {
    return this.#chains.read(JSON.stringify(name), name);
  }

  findImported(hash: string): Promise<KeyView | undefined> {
    return this.#mirror.findImported(hash);
  }

  importPrefixes(): Promise<readonly string[]> {
    return this.#mirror.importPrefixes();
  }

  hasMeter(name: string): Promise<boolean> {
    return this.#mirror.hasMeter(name);
  }

  hasPlan(name: string): Promise<boolean> {
    return this.#mirror.hasPlan(name);
  }
}

/** Reads that begin when the turn ends; those of one name that are asked for until then are one. */
class Gathered<Name, Answer> {
  readonly #read: (name: Name) => Promise<Answer>;
  /** As many as calls that arrived in one turn: bounded by what the server takes. */
  readonly #coming = new Map<string, Promise<Answer>>();

  constructor(read: (name: Name) => Promise<Answer>) {
    this.#read = read;
  }

  read(key: string, name: Name): Promise<Answer> {
    let coming = this.#coming.get(key);
    if (coming === undefined) {
      coming = new Promise((resolve, reject) => {
        setImmediate(() => {
          this.#coming.delete(key);
          this.#read(name).then(resolve, reject);
        });
      });
      this.#coming.set(key, coming);
    }
    return coming;
  }
}
