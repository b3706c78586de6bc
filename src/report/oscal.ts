import { tilePath, tileWidth, widthAt } from '../audit/tiles.js';
import { canonicalJson } from '../cluster/canonical.js';
import type { JsonObject } from '../cluster/object.js';
import type { Assessment, ControlEvidence, Shown } from './assessment.js';
import type { Listed } from './collectors.js';
import type { Control } from './controls.js';
import type { ExportManifest } from './export-entry.js';
import { uuid5 } from './uuid5.js';

/** The version of OSCAL that is written: assessment-results of NIST's Open Security Controls Assessment Language. */
const OSCAL_VERSION = '1.1.2';
/** Of our own properties. */
const NAMESPACE = 'https://countersign.dev/ns/oscal';

/** What there is beside the decisions of the period. */
export interface OtherEvidence {
  readonly origin: string;
  /** Base64, of the entries that the report was taken from. */
  readonly root: string;
  readonly drift: { readonly open: Listed<Shown>; readonly corrected: Listed<Shown> };
  /** Entries of a type in all of the log. */
  readonly entries: ReadonlyMap<string, number>;
  /** Of Countersign. */
  readonly version: string;
}

/** How a control came out: what is not satisfied says by what. */
interface Verdict {
  readonly state: 'satisfied' | 'not-satisfied';
  readonly reason: 'pass' | 'fail' | 'other';
  readonly why: string;
  readonly observations: readonly string[];
}

interface Observed {
  readonly key: string;
  readonly title: string;
  readonly says: string;
  readonly found: Listed<Shown>;
}

/**
 * An assessment as OSCAL assessment-results 1.1.2. A control is satisfied only by evidence of the period, and not satisfied by any against it or by none;
 * what Countersign does not cover is excluded by name and has no finding. Ids are version 5 UUIDs of log, size and question: the same question of the
 * same log has the same ids.
 */
export function oscalReport(
  manifest: ExportManifest & { readonly index: number },
  assessment: Assessment,
  other: OtherEvidence,
): JsonObject {
  // prettier-ignore
  const { filters, size, time } = manifest;
  const question = canonicalJson({ filters: { ...filters }, controls: manifest.controls ?? null });
  const space = uuid5(`${other.origin}\n${size}\n${question}`, uuid5(NAMESPACE));
  const id = (part: string): string => uuid5(part, space);
  const tokens = controlTokens(assessment.controls.map(({ control }) => control));
  const assessed = assessment.controls.filter(({ control }) => control.covered !== 'open');
  const observed = observationsOf(assessment, other);
  const asked = filters.repository === null ? 'all repositories' : `the repository ${prose(filters.repository)}`;
  const within = filters.environment === null ? '' : `, environment ${prose(filters.environment)}`;
  const period = `from ${filters.since ?? 'the beginning'} until ${filters.until ?? time}`;
  const tool = id('tool');
  const origins = [{ actors: [{ type: 'tool', 'actor-uuid': tool }] }];
  const evidence = (shown: Shown): JsonObject => ({
    href: `${tilePath({ level: 'entries', index: Math.floor(shown.index / tileWidth), width: widthAt(size, 'entries', Math.floor(shown.index / tileWidth)) })}#${shown.index % tileWidth}`,
    description: `Entry ${shown.index} of the log ${prose(other.origin)}: ${prose(shown.repository)}, ${prose(shown.environment)}, ${shown.time}`,
    props: [property('log-index', String(shown.index)), property('leaf-hash', shown.leafHash)],
  });
  const observations = [
    ...observed.map(({ key, title, says, found }) => ({
      uuid: id(`observation ${key}`),
      title,
      description: `${says}: ${found.total}${found.total > found.rows.length ? `, of which the first ${found.rows.length} are named` : ''}.`,
      props: [property('count', String(found.total))],
      methods: ['TEST'],
      origins,
      ...(found.rows.length > 0 ? { 'relevant-evidence': found.rows.map(evidence) } : {}),
      collected: time,
    })),
    ...assessed.flatMap(({ control, refused, excused }) =>
      [
        { key: 'refused', says: 'Changes that a rule for it denied, or asked more of', found: refused },
        { key: 'excused', says: 'Changes that were allowed by an exception from a rule for it', found: excused },
      ].flatMap(({ key, says, found }) =>
        found.total === 0
          ? []
          : [
              {
                uuid: id(`observation ${key} ${control.id}`),
                title: `${prose(control.id)}: ${key}`,
                description: `${says}: ${found.total}.`,
                props: [property('count', String(found.total))],
                methods: ['TEST'],
                origins,
                'relevant-evidence': found.rows.map(evidence),
                collected: time,
              },
            ],
      ),
    ),
  ];
  const findings = assessed.map((found) => {
    const { control } = found;
    const { state, reason, why, observations: of } = judge(found, assessment, other);
    return {
      uuid: id(`finding ${control.id}`),
      title: `${prose(control.id)}: ${prose(control.title)}`,
      description: why,
      props: [property('control', control.id)],
      origins,
      target: {
        type: 'objective-id',
        'target-id': tokens.get(control.id)!,
        ...(control.answer === null ? {} : { description: prose(control.answer) }),
        status: { state, reason },
        'implementation-status':
          control.open === null
            ? { state: 'implemented' }
            : { state: 'partial', remarks: `Not covered by Countersign: ${prose(control.open)}` },
      },
      ...(of.length > 0 ? { 'related-observations': of.map((key) => ({ 'observation-uuid': id(`observation ${key}`) })) } : {}), // prettier-ignore
    };
  });
  return {
    'assessment-results': {
      uuid: id('document'),
      metadata: {
        title: 'Change management, as recorded and judged by Countersign',
        'last-modified': time,
        version: `${size}`,
        'oscal-version': OSCAL_VERSION,
        props: [
          property('log-origin', other.origin),
          property('log-size', String(size)),
          property('log-root', other.root),
          property('export', manifest.id),
          property('export-entry', String(manifest.index)),
          property('population', String(manifest.rows)),
        ],
        remarks: `Counted from entries 0 to ${size - 1} of the log, which tells of this export in entry ${manifest.index}. Check the log offline with \`countersign verify\`, and the population with \`--population\` after \`countersign report changes\` with the same filters.`,
      },
      'import-ap': { href: `#${id('plan')}` },
      results: [
        {
          uuid: id('result'),
          title: `Changes of ${asked}${within}`,
          description: `Every change that was judged ${period}: ${assessment.rows} decisions. Findings rest on this evidence alone; what people did outside of Git and the clusters is not in it.`,
          start: filters.since ?? assessment.first ?? time,
          end: filters.until ?? time,
          'local-definitions': {
            'assessment-assets': {
              components: [
                {
                  uuid: tool,
                  type: 'software',
                  title: 'Countersign',
                  description: `Countersign ${prose(other.version)}, which keeps the log ${prose(other.origin)}.`,
                  status: { state: 'operational' },
                },
              ],
              'assessment-platforms': [{ uuid: id('platform'), 'uses-components': [{ 'component-uuid': tool }] }],
            },
          },
          'reviewed-controls': {
            description:
              'Controls by the catalogues in force; those that Countersign does not cover are excluded, with the reason.',
            'control-selections': selections(assessment.controls, tokens),
          },
          observations,
          ...(findings.length > 0 ? { findings } : {}),
        },
      ],
      'back-matter': {
        resources: [
          {
            uuid: id('plan'),
            title: 'How this was assessed',
            description:
              'No plan was imported: the service counted what its signed log and the records beside it hold. A control is satisfied if changes of the period were judged under rules that answer it (or what else answers it was recorded), and nothing recorded is against it: no change allowed by an exception from such a rule, none without approval or by its own approver where approval answers the control, no emergency change that nobody reviewed in time, no drift that still stands where drift answers it.',
            props: [property('question', question)],
          },
        ],
      },
    },
  } as unknown as JsonObject;
}

function observationsOf(assessment: Assessment, { drift }: OtherEvidence): readonly Observed[] {
  const { outcomes, approved, unapproved, selfApproved, emergencies, unreviewed, deployed } = assessment;
  return [
    { key: 'allow', title: 'Allowed changes', says: 'Changes that policy allowed', found: outcomes.allow },
    { key: 'deny', title: 'Denied changes', says: 'Changes that policy denied', found: outcomes.deny },
    { key: 'pending', title: 'Changes that waited for approval', says: 'Decisions that asked for approvals that were missing then', found: outcomes.pending }, // prettier-ignore
    { key: 'error', title: 'Changes that could not be judged', says: 'Changes that could not be judged, and were not applied', found: outcomes.error }, // prettier-ignore
    { key: 'approved', title: 'Approved changes', says: 'Allowed changes that somebody approved', found: approved },
    { key: 'unapproved', title: 'Changes without approval', says: 'Allowed changes, emergencies aside, that nobody approved', found: unapproved }, // prettier-ignore
    { key: 'self-approved', title: 'Changes approved by their own author', says: 'Allowed changes that somebody approved who had signed one of their commits', found: selfApproved }, // prettier-ignore
    { key: 'emergencies', title: 'Emergency changes', says: 'Changes that went through in an emergency', found: emergencies }, // prettier-ignore
    { key: 'unreviewed', title: 'Emergency changes not reviewed in time', says: 'Emergency changes that nobody reviewed in time', found: unreviewed }, // prettier-ignore
    { key: 'deployed', title: 'Changes that went live', says: 'Changes that a run applied', found: deployed },
    { key: 'drift-corrected', title: 'Drift that was corrected', says: 'Live changes outside of Git that were recorded, and corrected', found: drift.corrected }, // prettier-ignore
    { key: 'drift-open', title: 'Drift that stands', says: 'Live changes outside of Git that were recorded, and still stand', found: drift.open }, // prettier-ignore
  ];
}

function judge(
  { control, judged, refused, excused }: ControlEvidence,
  assessment: Assessment,
  { drift, entries }: OtherEvidence,
): Verdict {
  // prettier-ignore
  const { evidence } = control;
  const against: string[] = [];
  const observations: string[] = [];
  const look = (key: string, count: number, words: string): void => {
    if (count === 0) return;
    observations.push(key);
    against.push(`${count} ${words}`);
  };
  look(`excused ${control.id}`, excused.total, 'allowed by an exception from a rule for it');
  if (evidence.includes('approval')) {
    look('unapproved', assessment.unapproved.total, 'allowed without an approval');
    look('self-approved', assessment.selfApproved.total, 'approved by their own author');
    look('unreviewed', assessment.unreviewed.total, 'emergency changes not reviewed in time');
  }
  if (evidence.includes('drift')) look('drift-open', drift.open.total, 'live changes outside of Git that still stand');
  if (refused.total > 0) observations.push(`refused ${control.id}`);
  const counted: Readonly<Record<string, number>> = {
    decision: assessment.rows,
    approval: assessment.approved.total,
    run: assessment.deployed.total,
    drift: drift.open.total + drift.corrected.total,
    push: assessment.rows,
  };
  if (evidence.includes('decision') && assessment.rows > 0) observations.push('allow', 'deny');
  if (evidence.includes('approval') && assessment.approved.total > 0) observations.push('approved');
  if (evidence.includes('run') && assessment.deployed.total > 0) observations.push('deployed');
  if (evidence.includes('drift') && drift.corrected.total > 0) observations.push('drift-corrected');
  const found = evidence.map((kind) => ({ kind, count: counted[kind] ?? entries.get(kind) ?? 0 }));
  const seen = found.filter(({ count }) => count > 0).map(({ kind, count }) => `${count} of ${kind}`);
  const tested = `${judged} of ${assessment.rows} decisions were made under rules that answer it, ${refused.total} of them against the change.`;
  const rests = seen.length > 0 ? ` Evidence: ${seen.join(', ')}.` : '';
  // Where nothing but decisions speaks for it, they do so by a rule that answers it.
  const others = found.some(({ kind, count }) => kind !== 'decision' && count > 0);
  const missing = evidence.includes('decision') ? assessment.rows === 0 || (judged === 0 && !others) : !others;
  if (missing)
    return { state: 'not-satisfied', reason: 'other', why: `There is no evidence of it in this period. ${tested}${rests}`, observations }; // prettier-ignore
  if (against.length > 0)
    return { state: 'not-satisfied', reason: 'fail', why: `Against it: ${against.join('; ')}. ${tested}${rests}`, observations }; // prettier-ignore
  return { state: 'satisfied', reason: 'pass', why: `Nothing recorded is against it. ${tested}${rests}`, observations };
}

/** One selection a catalogue. */
function selections(found: readonly ControlEvidence[], tokens: ReadonlyMap<string, string>): object[] {
  const by = Map.groupBy(found, ({ control }) => control.prefix);
  return [...by].map(([prefix, all]) => {
    const [open, covered] = [all.filter(({ control }) => control.covered === 'open'), all.filter(({ control }) => control.covered !== 'open')]; // prettier-ignore
    const not = open.map(({ control }) => `${prose(control.id)}: ${prose(control.open ?? '')}`);
    return {
      description: `Catalogue ${prose(prefix)}`,
      props: [property('catalogue', prefix)],
      ...(covered.length > 0 ? { 'include-controls': idsOf(covered, tokens) } : {}),
      ...(open.length > 0 ? { 'exclude-controls': idsOf(open, tokens), remarks: `Not covered by Countersign, and not assessed: ${not.join(' ')}` } : {}), // prettier-ignore
    };
  });
}

const idsOf = (of: readonly ControlEvidence[], tokens: ReadonlyMap<string, string>): object[] => of.map(({ control }) => ({ 'control-id': tokens.get(control.id)! })); // prettier-ignore

/** As OSCAL takes them: NIST's as its own catalogue calls them (`cm-3`, `ac-2.4`), others after their catalogue. No two are the same. */
export function controlTokens(controls: readonly Pick<Control, 'id' | 'prefix'>[]): ReadonlyMap<string, string> {
  const taken = new Set<string>();
  const tokens = new Map<string, string>();
  for (const { id, prefix } of controls) {
    const own = id.slice(prefix.length + 1).toLowerCase().replaceAll(/\(([^()]*)\)/g, '.$1'); // prettier-ignore
    const wanted = (prefix === 'NIST-800-53' ? own : `${prefix.toLowerCase()}_${own}`).replaceAll(/[^\p{L}\p{N}._-]/gu, '_'); // prettier-ignore
    const token = /^[\p{L}_]/u.test(wanted) ? wanted : `_${wanted}`;
    let free = token;
    for (let n = 2; taken.has(free); n += 1) free = `${token}-${n}`;
    taken.add(free);
    tokens.set(id, free);
  }
  return tokens;
}

/** A value has no spaces at its ends and no line breaks. */
const property = (name: string, value: string): JsonObject => ({ name, ns: NAMESPACE, value: plain(value) || 'none' });

/** Text of others in what OSCAL reads as Markdown: nothing in it is a link, markup or a line of its own. */
const prose = (text: string): string => plain(text).replaceAll(/[\\`*_[\]<>#|~!&]/g, '\\$&');

/** On one line; characters that cannot be seen, or turn the direction of writing, as their codes. */
function plain(text: string): string {
  return text
    .replaceAll(/\s+/g, ' ')
    .replaceAll(
      /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu,
      (char) => `[U+${char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}]`,
    ) // prettier-ignore
    .trim();
}
