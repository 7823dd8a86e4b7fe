/** Asks the engines of all workers, and waits for what they say. */
import type { Answers, Question } from "./messages.ts";

/** A worker answers between two turns of its loop; one that does not is busy or gone. */
const ANSWER_LIMIT_MS = 2000;
/** Questions without all their answers. */
const MOST_OPEN = 4096;

interface Pending {
  readonly answers: unknown[];
  readonly done: () => void;
}

export class WorkerQuestions {
  readonly #workers: number;
  readonly #send: (number: number, question: Question) => void;
  readonly #pending = new Map<number, Pending>();
  #asked = 0;

  constructor(workers: number, send: (number: number, question: Question) => void) {
    this.#workers = workers;
    this.#send = send;
  }

  /** What the workers say, in no order; nothing of those that do not answer within 2 s, and of none when too many are asked. */
  async ask<About extends Question["about"]>(
    question: Question & { readonly about: About },
  ): Promise<readonly Answers[About][]> {
    const answers: Answers[About][] = [];
    if (this.#pending.size >= MOST_OPEN) return answers;
    this.#asked += 1;
    const number = this.#asked;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ANSWER_LIMIT_MS);
      timer.unref();
      const done = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#pending.set(number, { answers, done });
      this.#send(number, question);
    });
    this.#pending.delete(number);
    return answers;
  }

  onAnswer(number: number, answer: unknown): void {
    const pending = this.#pending.get(number);
    if (pending === undefined) return;
    pending.answers.push(answer);
    if (pending.answers.length === this.#workers) pending.done();
  }
}
