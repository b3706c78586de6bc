import { Progress } from './progress.js';

/** Progress of a work that tells how far it is, and of how much, once it knows. */
export function follow(what: string): { readonly at: (done: number, of: number) => void; readonly end: () => void } {
  let progress: Progress | undefined;
  let before = 0;
  return {
    at: (done, of) => {
      progress ??= new Progress(what, of);
      progress.advance(done - before);
      before = done;
    },
    end: () => progress?.end(),
  };
}
