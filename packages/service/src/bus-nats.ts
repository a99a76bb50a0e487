import { type ConnectionOptions, connect, Events, type NatsConnection, type Subscription } from "nats";
import { type Bus, type BusHandler, checkMessage, checkPattern } from "./bus.ts";
import { withDeadline } from "./deadline.ts";
import type { Log } from "./log.ts";
import { runLoop } from "./loop.ts";

/** What {@link natsBus} takes. */
export interface NatsBusOptions {
  /** `nats://[user:password@]host:port`, of one or more servers of one cluster. */
  readonly urls: readonly string[];
  /** What NATS shows as the connection's name. */
  readonly name: string;
  readonly log: Log;
}

// A NATS that is back is found within this many milliseconds.
const RECONNECT_MS_MAX = 1000;
const CONNECT_MS_MAX = 2000;
const CLOSE_MS_MAX = 2000;

interface Listener {
  readonly pattern: string;
  readonly handler: BusHandler;
  live: Subscription | undefined;
}

/**
 * A bus over core NATS. It returns at once and connects in the background: a service starts, works and stops
 * without NATS. Once connected, the client library reconnects by itself and subscribes again; where it gives up
 * (it does after authentication was refused twice), the loop here connects anew.
 */
export function natsBus({ urls, name, log }: NatsBusOptions): Bus {
  const listeners = new Set<Listener>();
  let connection: NatsConnection | undefined;
  let connected = false;
  let closing: Promise<void> | undefined;

  const connecting = runLoop({
    name: "nats",
    everyMs: RECONNECT_MS_MAX,
    backoff: { minMs: 50, maxMs: RECONNECT_MS_MAX },
    log: {
      info: () => {},
      warn: (line: object) => log.debug(line, "NATS is out of reach"),
    } as unknown as Log,
    async run() {
      if (connection !== undefined && !connection.isClosed()) {
        return;
      }
      connection = await connect(connectionOptions(urls, name));
      connected = true;
      log.info({ server: connection.getServer() }, "connected to NATS");
      for (const listener of listeners) {
        listen(connection, listener);
      }
      void follow(connection);
    },
  });

  // While the library reconnects it queues what is published, without a bound: it is not told then.
  async function follow(followed: NatsConnection): Promise<void> {
    for await (const { type } of followed.status()) {
      if (type === Events.Disconnect || type === Events.Reconnect) {
        connected = type === Events.Reconnect;
        log.info({ connected }, connected ? "reconnected to NATS" : "lost NATS");
      }
    }
    connected = false;
  }

  function listen(to: NatsConnection, listener: Listener): void {
    listener.live = to.subscribe(listener.pattern, {
      callback(error, message) {
        try {
          if (error) {
            throw error;
          }
          listener.handler(message.data, message.subject);
        } catch (thrown) {
          log.error({ err: thrown, subject: listener.pattern }, "a bus handler failed");
        }
      },
    });
  }

  // Subscriptions drain before the connection: drained together, the library drops what was on its way.
  async function close(): Promise<void> {
    await connecting.stop();
    if (connection !== undefined && !connection.isClosed()) {
      const open = connection;
      const drain = async () => {
        await Promise.all([...listeners].map(({ live }) => live?.drain()));
        await open.drain();
      };
      const wasConnected = connected;
      connected = false;
      const drained = wasConnected ? drain() : Promise.reject(new Error("not connected"));
      await withDeadline(drained, CLOSE_MS_MAX, () => new Error("draining took too long")).catch(() =>
        open.close(),
      );
    }
    listeners.clear();
  }

  return {
    publish(subject, payload) {
      checkMessage(subject, payload);
      if (connected && closing === undefined) {
        connection?.publish(subject, payload);
      }
    },
    subscribe(pattern, handler) {
      checkPattern(pattern);
      if (closing !== undefined) {
        throw new Error("the bus is closed");
      }
      const listener: Listener = { pattern, handler, live: undefined };
      listeners.add(listener);
      if (connection !== undefined && !connection.isClosed()) {
        listen(connection, listener);
      }
      return {
        unsubscribe() {
          listeners.delete(listener);
          listener.live?.unsubscribe();
        },
      };
    },
    get connected() {
      return connected;
    },
    close() {
      closing ??= close();
      return closing;
    },
  };
}

function connectionOptions(urls: readonly string[], name: string): ConnectionOptions {
  const parsed = urls.map((url) => new URL(url.includes("://") ? url : `nats://${url}`));
  const { username, password } = parsed[0]!;
  return {
    servers: parsed.map(({ host }) => host),
    name,
    ...(username === "" ? {} : { user: decodeURIComponent(username), pass: decodeURIComponent(password) }),
    timeout: CONNECT_MS_MAX,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_MS_MAX / 2,
    reconnectJitter: RECONNECT_MS_MAX / 4,
    // A server that vanished without a FIN is noticed within 10 s.
    pingInterval: 5000,
    maxPingOut: 2,
  };
}
