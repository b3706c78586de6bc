import type { Verification } from '../../src/audit/verify.js';
import { CountersignError } from '../../src/errors.js';
import { verifyFile } from './verify-file.js';

const element = (id: string): HTMLElement => document.getElementById(id)!;
const number = new Intl.NumberFormat('en-US');

const form = element('ask');
const button = element('check') as HTMLButtonElement;
const result = element('result');
const bar = element('progress') as HTMLProgressElement;
const counted = element('counted');

/** A place where a file is chosen or dropped. */
class FilePlace {
  readonly #label: HTMLElement;
  readonly #input: HTMLInputElement;
  readonly #named: HTMLElement;
  file: File | undefined;

  constructor(id: string, changed: () => void) {
    this.#label = element(id);
    this.#input = this.#label.querySelector('input')!;
    this.#named = this.#label.querySelector('.named')!;
    const take = (file: File | undefined): void => {
      if (!file) return;
      this.file = file;
      this.#named.textContent = `${file.name}, ${size(file.size)}`;
      this.#label.classList.add('has');
      changed();
    };
    this.#input.addEventListener('change', () => take(this.#input.files?.[0]));
    this.#label.addEventListener('dragover', (event) => {
      event.preventDefault();
      this.#label.classList.add('over');
    });
    this.#label.addEventListener('dragleave', () => this.#label.classList.remove('over'));
    this.#label.addEventListener('drop', (event) => {
      event.preventDefault();
      this.#label.classList.remove('over');
      take(event.dataTransfer?.files[0]);
    });
  }
}

function size(bytes: number): string {
  if (bytes < 1_000) return `${bytes} bytes`;
  return bytes < 1_000_000 ? `${(bytes / 1_000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

const ready = (): void => {
  button.disabled = !bundle.file || !trust.file;
};
const bundle = new FilePlace('bundle', ready);
const trust = new FilePlace('trust', ready);
const earlier = new FilePlace('earlier', ready);

form.addEventListener('submit', (event) => {
  event.preventDefault();
  void check();
});
// A file that misses its place must not be opened by the browser instead.
for (const kind of ['dragover', 'drop']) window.addEventListener(kind, (event) => event.preventDefault());

async function check(): Promise<void> {
  button.disabled = true;
  result.replaceChildren();
  result.className = '';
  bar.hidden = false;
  bar.removeAttribute('value');
  const started = performance.now();
  try {
    const verification = await verifyFile({
      bundle: bundle.file!,
      trust: await trust.file!.text(),
      ...(earlier.file ? { earlier: await earlier.file.text() } : {}),
      progress: (entries, of) => {
        bar.max = of;
        bar.value = entries;
        counted.textContent = `${number.format(entries)} of ${number.format(of)} entries`;
      },
    });
    show(verification, (performance.now() - started) / 1_000);
  } catch (error) {
    const sentence = error instanceof CountersignError ? error.message : `it could not be checked: ${String(error)}`;
    verdict('unknown', 'Could not tell', sentence);
  } finally {
    bar.hidden = true;
    counted.textContent = '';
    button.disabled = false;
  }
}

function show({ proven, onItsWord, fault, origin }: Verification, seconds: number): void {
  if (fault) {
    verdict('invalid', 'Invalid', fault.message);
    if (fault.place) text('p', `in ${fault.place.file}`).className = 'place-of';
    text('p', `Do not rely on this evidence of ${origin}.${proven.length > 0 ? ' Proven before the fault:' : ''}`);
  } else {
    verdict('valid', 'Valid', `Evidence of ${origin}, checked in ${seconds.toFixed(1)} s. Nothing was sent anywhere.`);
  }
  const list = text('dl', '');
  for (const { claim, detail } of proven) {
    text('dt', claim, list);
    text('dd', detail, list);
  }
  if (fault) return;
  text('h2', 'Not proven by this file, and resting on the word of the service');
  const rest = text('ul', '');
  for (const claim of onItsWord) text('li', claim, rest);
}

function verdict(kind: 'valid' | 'invalid' | 'unknown', word: string, sentence: string): void {
  result.className = kind;
  text('h1', word);
  text('p', sentence).className = 'sentence';
  result.focus();
}

/** Text only: what a bundle says is never markup. */
function text(tag: string, content: string, parent: HTMLElement = result): HTMLElement {
  const made = document.createElement(tag);
  made.textContent = content;
  parent.append(made);
  return made;
}
