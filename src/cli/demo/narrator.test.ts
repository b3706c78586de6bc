import { Writable } from 'node:stream';
import { openNarrator } from './narrator.js';

/** What a narrator writes to something that is no terminal. */
function capture(): { readonly stream: NodeJS.WriteStream; readonly text: () => string } {
  let text = '';
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => text };
}

describe('the narrator', () => {
  it('writes plain lines where there is no terminal, one for each thing', () => {
    const { stream, text } = capture();
    const narrator = openNarrator('text', stream);
    narrator.chapter('A title');
    narrator.waiting('something');
    narrator.line({ mark: 'no', word: 'denied', text: 'shop/production', below: ['a.yaml:3'] });
    narrator.look('git log');
    narrator.quote('countersign verify', 'one\n\u001B[31mtwo\u001B[0m\n');
    narrator.close();
    expect(text()).toBe(
      '\nA title\n✗ denied    shop/production\n            a.yaml:3\n  look      git log\n  $ countersign verify\n  │ one\n  │ two\n',
    );
  });

  it('shows what would move the cursor or reorder a line, rather than doing it', () => {
    const { stream, text } = capture();
    openNarrator('text', stream).line({ mark: 'fact', word: 'pushed', text: '"\u001B[2Jgone\u202e"' });
    expect(text()).toBe('· pushed    "\\u001b[2Jgone\\u202e"\n');
  });

  it('writes an object a line for programs, each with its chapter', () => {
    const { stream, text } = capture();
    const narrator = openNarrator('json', stream);
    narrator.chapter('A title');
    narrator.line({ mark: 'yes', word: 'live', text: 'cart', values: { milliseconds: 412 } });
    expect(JSON.parse(text())).toMatchObject({ chapter: 'A title', word: 'live', values: { milliseconds: 412 } });
  });
});
