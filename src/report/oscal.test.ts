import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';
import { readFileSync } from 'node:fs';
import { decidedChange, pagesOf } from '../../test/support/population.js';
import type { Violation } from '../policy/decision.js';
import { assess, type Shown } from './assessment.js';
import { allCatalogues, controlsNamed } from './controls.js';
import type { ExportManifest } from './export-entry.js';
import { controlTokens, oscalReport, type OtherEvidence } from './oscal.js';
import type { DecidedChange } from './population.js';
import { uuid5 } from './uuid5.js';

const schema = JSON.parse(
  readFileSync(new URL('../../test/vectors/oscal/oscal_assessment-results_schema.json', import.meta.url), 'utf8'),
) as object;
const ajv = new Ajv({ strict: false, allErrors: true });
addFormats.default(ajv);
const accepts = ajv.compile(schema);

const hostile = `=cmd|' /C calc'!A0 [link](javascript:alert(1))\u202e<b>\u0000 *x*\nsecond line ü 😀`;
const own = `apiVersion: countersign.dev/v1
kind: ControlCatalogue
prefix: ACME
title: Rules of the house
controls:
  - {id: "7.1(a)", title: ${JSON.stringify(hostile)}, covered: partly, evidence: [decision], answer: ${JSON.stringify(hostile)}, open: ${JSON.stringify(hostile)}}
`;
const catalogues = allCatalogues(new Map([['.countersign/controls/acme.yaml', own]]));
const filters = { repository: 'shop', environment: null, outcome: null, since: null, until: null };
const manifest: ExportManifest & { readonly index: number } = {
  id: '1', report: 'oscal', format: 'json', filters, rows: 3, size: 300, time: '2026-10-01T00:00:00.000Z', index: 301,
}; // prettier-ignore
const nothing = { total: 0, rows: [] };
const other: OtherEvidence = {
  origin: 'log.example.org/prod',
  root: 'cm9vdA==',
  drift: { open: nothing, corrected: nothing },
  entries: new Map([['log', 300]]),
  version: '1.2.3',
}; // prettier-ignore
const violation = (control: string, rest: Partial<Violation> = {}): Violation => ({
  rule: 'images.pinned', kind: 'deny', message: hostile, severity: 'high', controls: [control], place: { file: 'f' }, ...rest,
}); // prettier-ignore

interface Finding {
  readonly title: string;
  readonly description: string;
  readonly target: Readonly<Record<string, unknown>> & { readonly status: { readonly state: string; readonly reason: string } };
} // prettier-ignore
interface Observation {
  readonly title: string;
  readonly props: readonly { readonly name: string; readonly value: string }[];
  readonly 'relevant-evidence'?: readonly { readonly href: string; readonly props: readonly object[] }[];
}

async function report(rows: readonly DecidedChange[], given: Partial<OtherEvidence> = {}, controls?: string) {
  const assessment = await assess(pagesOf(...rows), controlsNamed(catalogues, controls), manifest.time);
  const document = oscalReport(manifest, assessment, { ...other, ...given });
  expect(accepts(document) ? [] : accepts.errors).toEqual([]);
  const { results } = document['assessment-results'] as unknown as {
    results: readonly [{ findings?: readonly Finding[]; observations: readonly Observation[] }];
  };
  const finding = (id: string) => results[0].findings?.find(({ title }) => title.startsWith(`${id.replaceAll(/[_~]/g, '\\$&')}: `)); // prettier-ignore
  return { document, finding, observations: results[0].observations, text: JSON.stringify(document) };
}

const ids = (text: string): readonly string[] => [...text.matchAll(/"uuid":"([^"]+)"/g)].map(([, id]) => id);
const judged = { controls: ['SOC2:CC8.1', 'NIST-800-53:CM-3'] };

describe('an assessment in OSCAL', () => {
  it('is what the schema of NIST accepts, whatever people wrote, and without a single change', async () => {
    const odd = { ...judged, repository: hostile, environment: hostile, violations: [violation('ACME:7.1(a)')] };
    const { text } = await report([decidedChange(1, { ...odd, outcome: 'deny' })]);
    expect(/[^\\]\[link|\u202e|\\u0000|\\n/.exec(text)).toBeNull();
    expect(text.includes('second line ü 😀')).toBe(true);
    await report([]);
  });

  it('finds a control satisfied by evidence of the period alone, and says what is not covered', async () => {
    const { finding, text } = await report([decidedChange(1, judged), decidedChange(2, judged)]);
    expect(finding('SOC2:CC8.1')).toMatchObject({
      description: expect.stringContaining('2 of 2 decisions were made under rules that answer it') as string,
      target: { 'target-id': 'soc2_cc8.1', status: { state: 'satisfied', reason: 'pass' } },
    });
    // Of rules that none of the policies in force has there is no evidence.
    expect(finding('ACME:7.1(a)')?.target).toMatchObject({
      'target-id': 'acme_7.1.a',
      status: { state: 'not-satisfied', reason: 'other' },
      'implementation-status': { state: 'partial' },
    });
    const open = controlsNamed(catalogues).find(({ covered }) => covered === 'open')!;
    expect([finding(open.id), text.includes('Not covered by Countersign, and not assessed')]).toEqual([
      undefined,
      true,
    ]);
    const { finding: without } = await report([]);
    expect(without('SOC2:CC8.1')?.target.status).toEqual({ state: 'not-satisfied', reason: 'other' });
  });

  it.each<[string, Partial<DecidedChange> & { approvedBy?: string; by?: string }, string]>([
    ['nobody approved', { approvedBy: '' }, '1 allowed without an approval'],
    ['their author approved', { approvedBy: 'ann@example.org' }, '1 approved by their own author'],
    ['an exception excused', { excepted: [violation('SOC2:CC8.1')] }, '1 allowed by an exception from a rule for it'],
    [
      'nobody reviewed in time',
      { duty: { reason: 'r', ticket: null, dueAt: '2026-09-01T00:00:00.000Z', closedAt: null, by: null } },
      '1 emergency changes not reviewed in time',
    ],
  ])('does not find it satisfied where %s', async (_, rest, why) => {
    const { finding } = await report([decidedChange(1, judged), decidedChange(2, { ...judged, ...rest })]);
    const found = finding('SOC2:CC8.1');
    expect([found?.target.status.state, found?.description]).toEqual(['not-satisfied', expect.stringContaining(why)]);
  });

  it('nor where drift stands', async () => {
    const rows: Shown[] = [{ index: 270, leafHash: 'a'.repeat(64), repository: 'shop', environment: 'shop/production', time: manifest.time }]; // prettier-ignore
    const drift = { open: { total: 1, rows }, corrected: nothing };
    const { finding, observations } = await report([decidedChange(1, judged)], { drift });
    expect(finding('ISO27001:A.8.9')?.target.status.state).toBe('not-satisfied');
    const [evidence] = observations.find(({ title }) => title === 'Drift that stands')!['relevant-evidence']!;
    expect([evidence.href, evidence.props]).toMatchObject(['tile/entries/001.p/44#14', [{ value: '270' }, { value: 'a'.repeat(64) }]]); // prettier-ignore
  });

  it('names the first hundred entries of what it counts, and counts all of them', async () => {
    const rows = Array.from({ length: 250 }, (_, i) => decidedChange(i, judged));
    const { observations } = await report(rows);
    const allowed = observations.find(({ title }) => title === 'Allowed changes')!;
    expect([allowed.props[0].value, allowed['relevant-evidence']?.length]).toEqual(['250', 100]);
  });

  it('has the same ids for the same question of the same log, and others for another', async () => {
    const [one, again, less] = [await report([decidedChange(1)]), await report([decidedChange(1)]), await report([], {}, 'SOC2')]; // prettier-ignore
    expect(ids(again.text)).toEqual(ids(one.text));
    expect(new Set(ids(one.text)).size).toBe(ids(one.text).length);
    const elsewhere = oscalReport(manifest, await assess(pagesOf(), [], manifest.time), { ...other, origin: 'other' });
    expect(ids(JSON.stringify(elsewhere)).filter((id) => ids(less.text).includes(id))).toEqual([]);
    // RFC 9562, appendix A.4.
    expect(uuid5('www.example.com', '6ba7b810-9dad-11d1-80b4-00c04fd430c8')).toBe(
      '2ed6657d-e927-568b-95e1-2665a8aea6a2',
    );
  });
});

it('calls controls as OSCAL takes them, no two the same', () => {
  const named = ['NIST-800-53:AC-2(4)', 'NIST-800-53:CM-3', 'PCI-DSS:6.5.1', 'DORA:Art.9(4)(a)', 'X:a(b)', 'X:a.b'].map((id) => ({ id, prefix: id.split(':')[0] })); // prettier-ignore
  expect([...controlTokens(named).values()]).toEqual(['ac-2.4', 'cm-3', 'pci-dss_6.5.1', 'dora_art.9.4.a', 'x_a.b', 'x_a.b-2']); // prettier-ignore
});
