import { CountersignError } from '../errors.js';
import type { Law } from '../review/law.js';
import { lawNotes } from './examination.js';

const law = (more: object): Law =>
  ({ environments: [{ name: 'prod' }], bundle: { rules: [{ id: 'x.y' }] }, overruled: [], ...more }) as unknown as Law;

describe('notes on the law', () => {
  it('has none where there are environments and rules', () => {
    expect(lawNotes(law({}))).toEqual([]);
  });

  it('says that no rule decides, that no environment is defined, and what was said in vain', () => {
    const place = { file: 'countersign.yaml', line: 3 };
    const overruled = [new CountersignError('config-invalid', 'x.y cannot be switched off here', { place })];
    expect(lawNotes(law({ environments: [], bundle: { rules: [] }, overruled }))).toEqual([
      expect.stringContaining('no environment is defined'),
      expect.stringContaining('no rule takes part in decisions'),
      'countersign.yaml:3  x.y cannot be switched off here',
    ]);
  });
});
