import { connectivityState, experimental, status } from "@grpc/grpc-js";

type LoadBalancer = experimental.LoadBalancer;
type Helper = experimental.ChannelControlHelper;
type Picker = experimental.Picker;
type PickResult = experimental.PickResult;
type Subchannel = experimental.SubchannelInterface;

const POLICY = "gatehouse_answering";
/** A peer that is well does not take so long for all that it is asked: most answers take milliseconds, batches some tens. */
const SILENCE_MS = 500;
/** A call to a peer that is silent is as good as lost: there are to be few, and yet it is soon seen to be back. */
const TRY_MS = 5000;
/** Of one pick: more than there are replicas. */
const MAX_TURNS = 64;

/** The service config of a channel whose calls go to all in turn that answer. */
export function answeringPeers(): string {
  experimental.registerLoadBalancerType(POLICY, AnsweringPeers, PeersConfig);
  return JSON.stringify({ loadBalancingConfig: [{ [POLICY]: {} }] });
}

/**
 * grpc-js's round robin, but for peers that are silent. A process that is stopped, or a machine that has gone from the
 * network, keeps its connections until keep-alive ends them; until then it would keep its share of the calls, too, each of
 * which waits out its deadline. A peer that was asked and has answered nothing since is passed over, but for one call now
 * and then, until it answers. Where all are silent, none is.
 *
 * grpc-js's outlier_detection counts calls that have ended, by the second: with the few calls at a time that a replica of
 * authz has, it took 7 s to pass a stopped peer over where this takes 2.
 *
 * A call that was given up is no answer. A stream is one when it ends: a peer that is asked for nothing but a stream may
 * have to wait for other calls until it is tried.
 */
class AnsweringPeers implements LoadBalancer {
  readonly #turns: experimental.ChildLoadBalancerHandler;
  readonly #peers = new WeakMap<Subchannel, Peer>();

  constructor(helper: Helper) {
    const updateState: Helper["updateState"] = (state, picker, error) => {
      const isReady = state === connectivityState.READY;
      helper.updateState(state, isReady ? new PeerPicker(picker, this.#peers) : picker, error);
    };
    this.#turns = new experimental.ChildLoadBalancerHandler(
      experimental.createChildChannelControlHelper(helper, { updateState }),
    );
  }

  updateAddressList(...[endpoints, , options, note]: Parameters<LoadBalancer["updateAddressList"]>): boolean {
    return this.#turns.updateAddressList(endpoints, roundRobin(), options, note);
  }

  exitIdle(): void {
    this.#turns.exitIdle();
  }

  resetBackoff(): void {
    this.#turns.resetBackoff();
  }

  destroy(): void {
    this.#turns.destroy();
  }

  getTypeName(): string {
    return POLICY;
  }
}

class PeerPicker implements Picker {
  readonly #turns: Picker;
  readonly #peers: WeakMap<Subchannel, Peer>;

  constructor(turns: Picker, peers: WeakMap<Subchannel, Peer>) {
    this.#turns = turns;
    this.#peers = peers;
  }

  pick(call: experimental.PickArgs): PickResult {
    const nowMs = performance.now();
    let first: PickResult | undefined;
    for (let turn = 0; turn < MAX_TURNS; turn++) {
      const picked = this.#turns.pick(call);
      if (picked.subchannel === null) return picked;
      const peer = this.#peerOf(picked.subchannel);
      if (!peer.isSilent(nowMs)) return peer.asked(picked, nowMs);
      if (picked.subchannel === first?.subchannel) break;
      first ??= picked;
    }
    return this.#peerOf(first!.subchannel!).asked(first!, nowMs);
  }

  #peerOf(subchannel: Subchannel): Peer {
    let peer = this.#peers.get(subchannel);
    if (peer === undefined) {
      peer = new Peer();
      this.#peers.set(subchannel, peer);
    }
    return peer;
  }
}

/** The other end of a connection. */
class Peer {
  /** The first call since it answered one. */
  #askedMs: number | undefined;
  #lastAskedMs = 0;

  isSilent(nowMs: number): boolean {
    if (this.#askedMs === undefined || nowMs - this.#askedMs < SILENCE_MS) return false;
    return nowMs - this.#lastAskedMs < TRY_MS;
  }

  asked(picked: PickResult, nowMs: number): PickResult {
    this.#askedMs ??= nowMs;
    this.#lastAskedMs = nowMs;
    const onCallEnded: PickResult["onCallEnded"] = (code, details, metadata) => {
      if (code !== status.DEADLINE_EXCEEDED && code !== status.CANCELLED) this.#askedMs = undefined;
      picked.onCallEnded?.(code, details, metadata);
    };
    return { ...picked, onCallEnded };
  }
}

class PeersConfig implements experimental.TypedLoadBalancingConfig {
  static createFromJson(): PeersConfig {
    return new PeersConfig();
  }

  getLoadBalancerName(): string {
    return POLICY;
  }

  toJsonObject(): object {
    return { [POLICY]: {} };
  }
}

function roundRobin(): experimental.TypedLoadBalancingConfig {
  return experimental.selectLbConfigFromList([{ round_robin: {} }])!;
}
