const number = new Intl.NumberFormat('en-US');
export const formatNumber = (n: number): string => number.format(n);
/** `1 run`, `1,204 runs`; of what ends otherwise, `plural` is the whole word. */
export const count = (n: number, what: string, plural = `${what}s`): string =>
  `${formatNumber(n)} ${n === 1 ? what : plural}`;

/** One thing that was proven: a sentence, and what it rests on. */
export interface Proven {
  readonly claim: string;
  readonly detail: string;
}

/** What a verification comes to, as far as it got. */
export class Conclusions {
  readonly proven: Proven[] = [];
  /** What correct evidence can't show, and the service's word stands for. */
  readonly onItsWord: string[] = [];

  prove(claim: string, detail: string): void {
    this.proven.push({ claim, detail });
  }

  leaveToItsWord(claim: string): void {
    this.onItsWord.push(claim);
  }
}
