import { Failure } from "@gatehouse/service/failure";
import type { Expected, OutgoingBatch, RegisterProducer } from "../shipper.ts";

/** IngestService's rules over a map: the next batch is taken, the same again acknowledged, all else refused. */
export class FakeMetering {
  readonly taken = new Map<number, OutgoingBatch[]>();
  readonly calls: string[] = [];
  /** Set to make every call fail. */
  failure: Error | undefined;
  /** Set to lose the answers of calls that were carried out. */
  losesAnswers = false;

  readonly register = async ({ epoch }: RegisterProducer): Promise<Expected> => {
    this.calls.push(`register ${epoch}`);
    this.#failIfTold();
    return { expectedSequence: this.batches(epoch).length + 1 };
  };

  readonly send = async (batch: OutgoingBatch): Promise<Expected> => {
    this.calls.push(`send ${batch.epoch}/${batch.sequence}`);
    this.#failIfTold();
    const taken = this.batches(batch.epoch);
    const same = taken[batch.sequence - 1];
    if (same !== undefined && !Buffer.from(same.digest).equals(batch.digest)) {
      throw new Failure({ code: "DATA_LOSS", reason: "DIGEST_MISMATCH", message: "another batch" });
    }
    if (same === undefined && batch.sequence !== taken.length + 1) {
      const metadata = { expected_sequence: String(taken.length + 1) };
      throw new Failure({ code: "FAILED_PRECONDITION", reason: "SEQUENCE_GAP", message: "a gap", metadata });
    }
    if (same === undefined) {
      taken.push(batch);
    }
    if (this.losesAnswers) {
      throw new Failure({ code: "UNAVAILABLE", reason: "SOURCE_UNAVAILABLE", message: "connection lost" });
    }
    return { expectedSequence: taken.length + 1 };
  };

  batches(epoch: number): OutgoingBatch[] {
    const batches = this.taken.get(epoch) ?? [];
    this.taken.set(epoch, batches);
    return batches;
  }

  payloads(): Uint8Array[] {
    return [...this.taken.values()].flat().map(({ payload }) => payload);
  }

  #failIfTold(): void {
    if (this.failure !== undefined) {
      throw this.failure;
    }
  }
}
