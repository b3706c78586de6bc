import { readdirSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { entryTypes } from '../audit/entry.js';
import { CountersignError, formatPlace, type Place } from '../errors.js';
import type { Rule } from '../policy/decision.js';
import { STARTER_FOLDER } from '../policy/sources.js';
import { faultsError, faultsOf, readSettings, suggest } from '../settings.js';
import type { TreeReader } from '../source/repository.js';

/** Where catalogues of a repository's own lie: each `*.yaml`. Governed, like all of `.countersign`. */
export const CONTROLS_FOLDER = '.countersign/controls';

/** What answers a control besides rules: a type of entry, the log as a whole, or what is reported from it. */
const evidences = [...entryTypes, 'log', 'report'] as const;

/** What somebody outside asks to be held, and what of it is held here. */
export interface Control {
  /** As rules name it: `SOC2:CC8.1`. */
  readonly id: string;
  /** Of the catalogue. */
  readonly prefix: string;
  readonly title: string;
  readonly covered: 'answered' | 'partly' | 'open';
  readonly evidence: readonly (typeof evidences)[number][];
  /** Controls of other catalogues that ask for the same: rules that answer them answer this one. */
  readonly like: readonly string[];
  /** How it is answered; null where it is not. */
  readonly answer: string | null;
  /** What is not, in so many words. */
  readonly open: string | null;
  readonly place: Place;
}

/** What is asked of a repository, and the rules that judge it. */
export interface GovernedControls {
  readonly catalogues: readonly Catalogue[];
  readonly rules: readonly Rule[];
}

export interface Catalogue {
  readonly prefix: string;
  readonly title: string;
  readonly controls: readonly Control[];
}

const said = z.string().refine((text) => text.trim() !== '', { error: 'it must not be empty' });
const schema = z.strictObject({
  apiVersion: z.literal('countersign.dev/v1'),
  kind: z.literal('ControlCatalogue'),
  prefix: z.string().regex(/^[A-Za-z0-9][\w.-]*$/, { error: 'it must be letters, digits, ".", "_" and "-"' }),
  title: said,
  controls: z.array(
    z
      .strictObject({
        id: z.string().regex(/^[^\s:,]+$/, { error: 'it must be a text without spaces, ":" and ","' }),
        title: said,
        covered: z.enum(['answered', 'partly', 'open']),
        evidence: z.array(z.enum(evidences)).default([]),
        like: z.array(z.string()).default([]),
        answer: said.optional(),
        open: said.optional(),
      })
      .check(({ value, issues }) => {
        const lack = (path: 'answer' | 'open' | 'evidence', message: string) => issues.push({ code: 'custom', input: value, path: [path], message }); // prettier-ignore
        if (value.covered !== 'open' && value.answer === undefined)
          lack('answer', 'it must say how the control is answered');
        if (value.covered === 'open' && value.evidence.length > 0) lack('evidence', 'what is open has none');
        if (value.covered !== 'answered' && value.open === undefined) lack('open', 'it must say what is not covered');
      }),
  ),
});

/** Throws `config-invalid` that names every fault with its line. */
export function parseCatalogue(text: string, file: string): Catalogue {
  const settings = readSettings(text, file);
  const parsed = schema.safeParse(settings.value, { reportInput: true });
  if (!parsed.success)
    throw faultsError(faultsOf(parsed.error, schema), settings, 'See docs/controls.md for the format');
  const { prefix, title, controls } = parsed.data;
  return {
    prefix,
    title,
    controls: controls.map(({ id, answer = null, open = null, ...control }, i) => ({
      ...control,
      id: `${prefix}:${id}`,
      prefix,
      answer,
      open,
      place: settings.place(['controls', i, 'id']),
    })),
  };
}

let shipped: readonly Catalogue[] | undefined;

/** Those that ship with Countersign. */
export function shippedCatalogues(): readonly Catalogue[] {
  const folder = new URL('controls/', STARTER_FOLDER);
  return (shipped ??= readdirSync(folder)
    .filter((name) => name.endsWith('.yaml'))
    .toSorted()
    .map((name) =>
      parseCatalogue(readFileSync(new URL(name, folder), 'utf8'), `countersign:policies/controls/${name}`),
    ));
}

/**
 * Ours, and those of a repository, by file. One may add controls to a catalogue of ours by its prefix, but not
 * say anew what is said. Throws `config-invalid`.
 */
export function allCatalogues(own: ReadonlyMap<string, string>): readonly Catalogue[] {
  const found = new Map(shippedCatalogues().map((catalogue) => [catalogue.prefix, catalogue]));
  const known = new Map(
    [...found.values()].flatMap(({ controls }) => controls).map((control) => [control.id, control]),
  );
  for (const [file, text] of own) {
    const { prefix, title, controls } = parseCatalogue(text, file);
    for (const control of controls) {
      const other = known.get(control.id);
      if (other) {
        throw new CountersignError('config-invalid', `${control.id} is in ${formatPlace(other.place)}, too`, {
          place: control.place,
          remedy: 'Keep one of the two; a control of your own may have an id of your own',
        });
      }
      known.set(control.id, control);
    }
    const there = found.get(prefix);
    found.set(prefix, there ? { ...there, controls: [...there.controls, ...controls] } : { prefix, title, controls });
  }
  for (const { id, like, place } of known.values()) {
    const missing = like.find((one) => !known.has(one));
    if (missing === undefined) continue;
    throw new CountersignError(
      'config-invalid',
      `${id} is like ${missing}, which is in no catalogue${suggest(missing, [...known.keys()])}`,
      {
        place,
        remedy: 'Correct it, or add that control',
      },
    );
  }
  return [...found.values()];
}

/** Files of a repository's own catalogues at a commit, by path. Links are left out: they would read what is elsewhere. */
export async function catalogueFiles(tree: TreeReader, commit: string): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>();
  for (const { path, type, mode, id } of await tree.tree(commit, CONTROLS_FOLDER)) {
    if (type !== 'blob' || mode === '120000' || !/\.ya?ml$/.test(path)) continue;
    files.set(path, (await tree.blob(id)).toString('utf8'));
  }
  return files;
}

/** The controls that somebody asks for: all, those of a catalogue, or one. Throws `usage` with the nearest name. */
export function controlsNamed(catalogues: readonly Catalogue[], id?: string): readonly Control[] {
  const all = catalogues.flatMap(({ controls }) => controls);
  const found = id === undefined ? all : all.filter((control) => control.id === id || control.prefix === id);
  if (found.length > 0) return found;
  const names = [...catalogues.map(({ prefix }) => prefix), ...all.map((control) => control.id)];
  throw new CountersignError('usage', `${id} is in no catalogue${suggest(id ?? '', names)}`, {
    remedy: `countersign policy controls lists them; your own go into ${CONTROLS_FOLDER}`,
  });
}

/** What rules name that is in no catalogue. */
export function unknownControls(
  rules: readonly Rule[],
  catalogues: readonly Catalogue[],
): readonly { readonly rule: Rule; readonly control: string; readonly near: string }[] {
  const known = catalogues.flatMap(({ controls }) => controls.map(({ id }) => id));
  const set = new Set(known);
  return rules.flatMap((rule) =>
    rule.controls.filter((id) => !set.has(id)).map((control) => ({ rule, control, near: suggest(control, known) })),
  );
}

/** Ids of the rules that answer each control, by naming it or one that it is like. */
export function rulesByControl(
  rules: readonly Pick<Rule, 'id' | 'controls'>[],
  catalogues: readonly Catalogue[],
): ReadonlyMap<string, readonly string[]> {
  const named = new Map<string, Set<string>>();
  for (const { id, controls } of rules) {
    for (const control of controls) named.set(control, (named.get(control) ?? new Set()).add(id));
  }
  const all = catalogues.flatMap(({ controls }) => controls);
  return new Map(
    all.map(({ id, like }) => [
      id,
      [...new Set([id, ...like].flatMap((one) => [...(named.get(one) ?? [])]))].toSorted(),
    ]),
  );
}
