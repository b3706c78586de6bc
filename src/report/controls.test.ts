import { CountersignError } from '../errors.js';
import {
  allCatalogues,
  controlsNamed,
  parseCatalogue,
  rulesByControl,
  shippedCatalogues,
  unknownControls,
} from './controls.js';

const head =
  'apiVersion: countersign.dev/v1\nkind: ControlCatalogue\nprefix: ACME\ntitle: Rules of the house\ncontrols:\n';
const one = (text: string) => `${head}  - ${text}\n`;
const good = '{id: CHG-7, title: No change on the last day, covered: partly, evidence: [decision], answer: A rule denies it., open: The rest.}'; // prettier-ignore
const refusal = (act: () => unknown): CountersignError => {
  try {
    act();
  } catch (error) {
    if (error instanceof CountersignError) return error;
  }
  throw new Error('it was not refused');
};

describe('the catalogues that ship', () => {
  const all = allCatalogues(new Map());

  it('have the controls that changes are audited by', () => {
    const ids = new Set(controlsNamed(all).map(({ id }) => id));
    const asked =
      'SOC2:CC6.1 SOC2:CC7.1 SOC2:CC8.1 ISO27001:A.8.9 ISO27001:A.8.31 ISO27001:A.8.32 PCI-DSS:6.5.1 PCI-DSS:6.5.2 PCI-DSS:6.5.3 PCI-DSS:6.5.4 PCI-DSS:6.5.5 PCI-DSS:6.5.6 PCI-DSS:10.2.1 PCI-DSS:10.3.2 PCI-DSS:10.3.4 PCI-DSS:10.5.1 NIST-800-53:CM-3 NIST-800-53:CM-5 NIST-800-53:CM-6 NIST-800-53:AU-2 NIST-800-53:AU-9 NIST-800-53:AU-10 NIST-800-53:SI-7 DORA:Art.9(4)(e) DORA:RTS-Art.17'.split(
        ' ',
      );
    expect(asked.filter((id) => !ids.has(id))).toEqual([]);
  });

  it('say of each what answers it, or plainly that nothing does, and what is left', () => {
    const controls = controlsNamed(shippedCatalogues());
    expect(controls.filter(({ covered }) => covered === 'open').length).toBeGreaterThan(5);
    expect(controls.filter(({ open }) => open === null)).toEqual([]);
    expect(controls.filter(({ covered, evidence }) => covered !== 'open' && evidence.length === 0)).toEqual([]);
  });
});

describe('a catalogue of your own', () => {
  it('is told of beside ours, by its own prefix or added to one of ours', () => {
    const more = `${head.replace('ACME', 'SOC2')}  - {id: CC99.9, title: More, covered: open, open: All of it.}\n`;
    const all = allCatalogues(new Map([['acme.yaml', one(good)], ['soc2.yaml', more]])); // prettier-ignore
    expect(controlsNamed(all, 'ACME').map(({ id, place }) => [id, place])).toEqual([
      ['ACME:CHG-7', { file: 'acme.yaml', line: 6 }],
    ]);
    expect(controlsNamed(all, 'SOC2:CC99.9')).toHaveLength(1);
    expect(controlsNamed(all, 'SOC2').length).toBeGreaterThan(1);
  });

  it.each([
    ['an unknown kind of evidence', one(good.replace('[decision]', '[decisions]')), 6, /evidence/],
    ['an answer that is missing', one('{id: a, title: b, covered: answered}'), 6, /answer: it must say how the control is answered/],
    ['what is left missing', one('{id: a, title: b, covered: partly, answer: c}'), 6, /open: it must say what is not covered/],
    ['an id with a colon', one(good.replace('CHG-7', '"CHG:7"')), 6, /id: it must be a text without spaces/],
    ['a field nobody knows', one(good.replace('answer:', 'anwser:')), 6, /did you mean "answer"/],
    ['no title', one('{id: a, title: " ", covered: open, open: x}'), 6, /title: it must not be empty/],
    ['YAML that is none', `${head}  - {id: [`, 6, /not valid YAML/],
  ])('is refused for %s, with its line', (_what, text, line, said) => {
    const { code, message, place } = refusal(() => parseCatalogue(text, 'c.yaml'));
    expect([code, place?.line]).toEqual(['config-invalid', line]);
    expect(message).toMatch(said);
  }); // prettier-ignore

  it('does not say anew what another says, nor is like what is not there', () => {
    const again = one('{id: CC8.1, title: Mine, covered: open, open: x}').replace('ACME', 'SOC2');
    const { message, place } = refusal(() => allCatalogues(new Map([['mine.yaml', again]])));
    expect([message, place]).toEqual([
      expect.stringMatching(/^SOC2:CC8\.1 is in countersign:policies\/controls\/soc2\.yaml:\d+, too$/),
      { file: 'mine.yaml', line: 6 },
    ]);
    const unlike = one(good.replace('}', ', like: ["SOC2:CC81"]}'));
    expect(refusal(() => allCatalogues(new Map([['mine.yaml', unlike]]))).message).toMatch(
      /did you mean "SOC2:CC8\.1"/,
    );
  });
});

describe('rules and controls', () => {
  const rule = { id: 'a.b', controls: ['SOC2:CC8.1', 'SOC2:CC81', 'ACME:1'] };

  it('are found by each other, also by what a control is like', () => {
    const found = rulesByControl([rule, { id: 'c', controls: ['NIST-800-53:CM-3'] }], allCatalogues(new Map()));
    expect(found.get('SOC2:CC8.1')).toEqual(['a.b']);
    expect(found.get('DORA:Art.9(4)(e)')).toEqual(['a.b', 'c']);
    expect(found.get('PCI-DSS:6.5.5')).toEqual([]);
  });

  it('are told of where no catalogue has the control, with the nearest that is there', () => {
    const unknown = unknownControls([rule as never], allCatalogues(new Map()));
    expect(unknown.map(({ control, near }) => [control, near])).toEqual([
      ['SOC2:CC81', ' (did you mean "SOC2:CC8.1"?)'],
      ['ACME:1', expect.any(String)],
    ]);
  });

  it('ask for a control by a name that is near where it is none', () => {
    expect(refusal(() => controlsNamed(allCatalogues(new Map()), 'SOC3')).message).toMatch(/did you mean "SOC2"/);
  });
});
