import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/**
 * The network between two processes: a TCP proxy that can be cut (connections are reset and refused), hung
 * (accepted, and nothing is carried: what a lost peer looks like), hung one way (replies are not carried) or slowed.
 * What was in flight when a link was hung arrives when it is mended, in order.
 */
export class Link {
  readonly #server: Server;
  readonly #target: () => number | undefined;
  readonly #ends = new Set<Socket>();
  /** Of these, the ones that were dialled. */
  readonly #farEnds = new WeakSet<Socket>();
  /** Connections accepted while the link hangs: dialled on when it is mended. */
  #undialled: Socket[] = [];
  #state: "open" | "cut" | "hung" | "hung one way" = "open";
  #delayMs = 0;

  private constructor(target: () => number | undefined) {
    this.#target = target;
    this.#server = createServer((near) => this.#accept(near));
  }

  /** `target` is asked for each connection: the port on loopback that the other end listens on now. */
  static async open(target: () => number | undefined): Promise<Link> {
    const link = new Link(target);
    link.#server.listen(0, "127.0.0.1");
    await once(link.#server, "listening");
    return link;
  }

  /** Where the near end dials. */
  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  cut(): void {
    this.#state = "cut";
    for (const end of [...this.#ends]) end.resetAndDestroy();
  }

  hang(): void {
    this.#state = "hung";
    for (const end of this.#ends) end.pause();
  }

  /** What the near end says arrives, and it is not answered. */
  hangReplies(): void {
    this.#state = "hung one way";
    for (const end of this.#ends) if (this.#farEnds.has(end)) end.pause();
  }

  mend(): void {
    this.#state = "open";
    this.#delayMs = 0;
    for (const end of this.#ends) end.resume();
    for (const near of this.#undialled.splice(0)) if (!near.destroyed) this.#dial(near);
  }

  /** Everything takes this much longer, each way. */
  slow(delayMs: number): void {
    this.#delayMs = delayMs;
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }

  #accept(near: Socket): void {
    if (this.#state === "cut") {
      near.resetAndDestroy();
      return;
    }
    this.#own(near);
    if (this.#state === "hung") this.#undialled.push(near.pause());
    else this.#dial(near);
  }

  #dial(near: Socket): void {
    const port = this.#target();
    if (port === undefined) {
      near.resetAndDestroy();
      return;
    }
    const far = connect({ port, host: "127.0.0.1" });
    this.#farEnds.add(far);
    this.#own(far);
    this.#carry(near, far);
    this.#carry(far, near);
    if (this.#state === "hung one way") far.pause();
  }

  #own(end: Socket): void {
    end.setNoDelay(true);
    this.#ends.add(end);
    end.on("error", () => {}); // whoever used the connection hears of it by its close
    end.on("close", () => this.#ends.delete(end));
  }

  #carry(from: Socket, to: Socket): void {
    let last: Promise<void> | undefined;
    const later = (run: () => void, delayMs: number) => {
      const dueMs = performance.now() + delayMs;
      const mine = (last ?? Promise.resolve()).then(
        () => new Promise<void>((resolve) => setTimeout(resolve, Math.max(0, dueMs - performance.now()))),
      );
      last = mine;
      void mine.then(() => {
        if (last === mine) last = undefined;
        run();
      });
    };
    const pass = (run: () => void) => {
      if (this.#delayMs === 0 && last === undefined) run();
      else later(run, this.#delayMs);
    };
    from.on("data", (chunk) => pass(() => to.write(chunk)));
    from.on("end", () => pass(() => to.end()));
    from.on("close", () => to.destroySoon());
  }
}
