import { Failure, overloaded, unavailable } from "@gatehouse/service/failure";

export type Outcome<Answer> = { readonly answer: Answer } | { readonly failure: unknown };

/** What a round did for an item: its outcome, or what it lacks and its outcome where it has waited long enough. */
export type Turn<Answer> =
  | Outcome<Answer>
  | { readonly lacks: readonly string[]; readonly otherwise: Outcome<Answer> };

export interface RoundLoopOptions<Item, Answer> {
  /** Serves items in one transaction, first come first served; answers a turn for each. Those that lack something come again, first. */
  readonly serve: (items: readonly Item[]) => Promise<readonly Turn<Answer>[]>;
  /** How long an item waits for what it lacks. */
  readonly waitMs: number;
  readonly maxPerRound: number;
  readonly maxArrived: number;
  /** After this long without a round nobody waits for the answer any more: it is refused, not served. */
  readonly staleMs?: number;
}

/**
 * Concurrent work as one transaction after another: while one runs, the next items gather, and those of one turn of
 * the event loop travel together. An item that cannot be served fails alone.
 *
 * Rounds begin when somebody comes, when what is lacked may be there, and when the first who waits is out of time: so
 * the last word to it is of that moment.
 */
export class RoundLoop<Item, Answer> {
  readonly #options: RoundLoopOptions<Item, Answer>;
  #arrived: Task<Item, Answer>[] = [];
  #waiting: Task<Item, Answer>[] = [];
  #running = false;
  #again = false;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;
  /** Transactions since the start. */
  rounds = 0;

  constructor(options: RoundLoopOptions<Item, Answer>) {
    this.#options = options;
  }

  /** Throws Failure OVERLOADED, UNAVAILABLE, and what serving it throws. */
  submit(item: Item): Promise<Answer> {
    const { waitMs, maxArrived } = this.#options;
    if (this.#closed) return Promise.reject(closing());
    if (this.#arrived.length >= maxArrived) {
      return Promise.reject(overloaded("too many calls wait for the database", waitMs));
    }
    return new Promise((resolve, reject) => {
      const arrivedMs = performance.now();
      const deadlineMs = arrivedMs + waitMs;
      this.#arrived.push({ item, arrivedMs, deadlineMs, lacks: [], done: false, resolve, reject });
      this.#start();
    });
  }

  /** Items that are not answered yet, but for those of a transaction that is under way. */
  get waiting(): number {
    return this.#arrived.length + this.#waiting.length;
  }

  /** There may be of these what items lack. */
  wake(ids: readonly string[]): void {
    if (this.#waiting.some(({ lacks }) => lacks.some((id) => ids.includes(id)))) this.#start();
    else if (this.#running) this.#again = true;
  }

  /** What is under way ends as it does. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#refuse();
  }

  /** Answers what waits. Nothing was done for it. */
  #refuse(): void {
    for (const task of [...this.#waiting, ...this.#arrived]) finish(task, { failure: closing() });
    this.#waiting = [];
    this.#arrived = [];
  }

  #start(): void {
    this.#again = true;
    if (this.#running) return;
    this.#running = true;
    // Not at once: what comes in the same turn of the event loop travels together.
    setImmediate(() => this.#run());
  }

  async #run(): Promise<void> {
    clearTimeout(this.#timer);
    const { maxPerRound } = this.#options;
    while (this.#again && !this.#closed) {
      this.#again = this.#arrived.length > maxPerRound;
      this.#dropStale();
      const tasks = [...this.#waiting, ...this.#arrived.splice(0, maxPerRound)];
      this.#waiting = [];
      await this.#round(tasks);
    }
    this.#running = false;
    this.#armTimer();
  }

  // Served all the same, it would make those late, too, that came after it.
  #dropStale(): void {
    const { staleMs, waitMs } = this.#options;
    if (staleMs === undefined) return;
    const sinceMs = performance.now() - staleMs;
    const firstFresh = this.#arrived.findIndex(({ arrivedMs }) => arrivedMs >= sinceMs);
    const stale = this.#arrived.splice(0, firstFresh < 0 ? this.#arrived.length : firstFresh);
    const failure = overloaded("it waited too long for the database", waitMs);
    for (const task of stale) finish(task, { failure });
  }

  async #round(tasks: readonly Task<Item, Answer>[]): Promise<void> {
    if (tasks.length === 0) return;
    try {
      await this.#serve(tasks);
    } catch (error) {
      if (tasks.length === 1 || isPassing(error)) for (const task of tasks) finish(task, { failure: error });
      // One that cannot be served must not take the others with it.
      else {
        for (const task of tasks) {
          await this.#serve([task]).catch((alone) => finish(task, { failure: alone }));
        }
      }
    }
    this.#waiting = tasks.filter(({ done }) => !done);
    if (this.#closed) this.#refuse();
  }

  async #serve(tasks: readonly Task<Item, Answer>[]): Promise<void> {
    this.rounds++;
    const turns = await this.#options.serve(tasks.map(({ item }) => item));
    const nowMs = performance.now();
    for (const [i, task] of tasks.entries()) {
      const turn = turns[i]!;
      if (!("lacks" in turn)) finish(task, turn);
      else if (nowMs >= task.deadlineMs) finish(task, turn.otherwise);
      else task.lacks = turn.lacks;
    }
  }

  #armTimer(): void {
    const first = this.#waiting[0];
    if (first === undefined || this.#closed) return;
    this.#timer = setTimeout(() => this.#start(), Math.max(0, first.deadlineMs - performance.now()));
  }
}

interface Task<Item, Answer> {
  readonly item: Item;
  readonly arrivedMs: number;
  readonly deadlineMs: number;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
  lacks: readonly string[];
  done: boolean;
}

function finish<Answer>(task: Task<unknown, Answer>, outcome: Outcome<Answer>): void {
  if (task.done) return;
  task.done = true;
  if ("answer" in outcome) task.resolve(outcome.answer);
  else task.reject(outcome.failure);
}

// The database is out of reach or busy: it would be for each alone, too.
function isPassing(error: unknown): boolean {
  return error instanceof Failure && (error.code === "UNAVAILABLE" || error.code === "ABORTED");
}

function closing(): Failure {
  return unavailable("metering is closing");
}
