import { experimental, status } from "@grpc/grpc-js";

type Resolver = experimental.Resolver;
type Listener = experimental.ResolverListener;
type Endpoints = Parameters<Listener>[0];
type Options = Parameters<typeof experimental.createResolver>[2];

const SCHEME = "gatehouse-list";

/** What grpc-js is to dial for `host:port`, for several of them separated by commas, or for any name that it knows itself. */
export function targetOf(address: string): string {
  const isList = address.includes(",") && !/^(ipv4|ipv6):/.test(address);
  if (!isList) return address;
  experimental.registerResolver(SCHEME, AddressList);
  return `${SCHEME}:${address.replace(/\s/g, "")}`;
}

/**
 * Every address of every name of a list. A name that is not known, such as that of a replica which has not been started
 * yet, is looked up again and holds up no other.
 */
class AddressList implements Resolver {
  readonly #names: readonly Resolver[];
  readonly #found: (Endpoints | undefined)[];
  readonly #listener: Listener;

  constructor({ path }: experimental.GrpcUri, listener: Listener, options: Options) {
    const names = namesIn(path);
    this.#listener = listener;
    this.#found = names.map(() => undefined);
    this.#names = names.map((name, i) => {
      const onFound: Listener = (endpoints, _attributes, _serviceConfig, note) =>
        this.#note(i, endpoints, note);
      return experimental.createResolver({ scheme: "dns", path: name }, onFound, options);
    });
  }

  static getDefaultAuthority({ path }: experimental.GrpcUri): string {
    return namesIn(path)[0]!;
  }

  updateResolution(): void {
    for (const name of this.#names) name.updateResolution();
  }

  destroy(): void {
    for (const name of this.#names) name.destroy();
  }

  #note(i: number, endpoints: Endpoints, note: string): boolean {
    // What a name was last known to have stands until it has something else.
    if (endpoints.ok || !this.#found[i]?.ok) this.#found[i] = endpoints;
    const known = this.#found.flatMap((found) => (found?.ok ? found.value : []));
    if (known.length > 0) {
      // The channel hears of no failure, so nobody else looks again. How soon is for the resolver of the name.
      if (!endpoints.ok) this.#names[i]!.updateResolution();
      return this.#listener(experimental.statusOrFromValue(known), {}, null, note);
    }
    // Another name may yet be found.
    if (this.#found.includes(undefined)) return true;
    const details = `no address of ${this.#found.length} names is known`;
    return this.#listener(
      experimental.statusOrFromError({ code: status.UNAVAILABLE, details }),
      {},
      null,
      note,
    );
  }
}

function namesIn(path: string): readonly string[] {
  return path.split(",").filter((name) => name !== "");
}
