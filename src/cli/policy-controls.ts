import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { workTreeOf } from '../adapters/git/work-tree.js';
import type { RegoCompiler } from '../adapters/opa/compiler.js';
import { policyFolder } from '../policy/folder.js';
import { policySources } from '../policy/sources.js';
import {
  allCatalogues,
  type Catalogue,
  type Control,
  CONTROLS_FOLDER,
  controlsNamed,
  rulesByControl,
} from '../report/controls.js';
import { controlsPage, controlText } from '../report/controls-page.js';
import { type Column, Listing, type Output, print, printable } from './output.js';

export interface ControlOptions {
  readonly policies?: string;
  readonly output: Exclude<Output, 'jsonl'> | 'markdown';
}

/** Lists controls, or shows some, with the rules that answer them: all that ship, and those of the folder. */
export async function showControls(
  compiler: RegoCompiler,
  id: string | undefined,
  { policies, output }: ControlOptions,
): Promise<void> {
  const catalogues = cataloguesAround(policies ?? '.');
  const controls = controlsNamed(catalogues, id);
  const folder = policies ?? (existsSync('policies') ? 'policies' : undefined);
  const all = { profile: 'strict' as const };
  const sources = folder === undefined ? policySources(new Map(), all) : policyFolder(folder, all);
  const rules = rulesByControl(await compiler.check(sources), catalogues);
  if (output === 'markdown') return void process.stdout.write(controlsPage(chosen(catalogues, id), rules));
  const answered = controls.map((control): Answered => ({ ...control, rules: rules.get(control.id) ?? [] }));
  if (output === 'text' && answered.length === 1) {
    const [{ rules: named, ...control }] = answered;
    return print(controlText(control, named).split('\n').map(printable).join('\n'));
  }
  const listing = new Listing(COLUMNS, { output, record: (control) => control });
  for (const control of answered) await listing.add(control);
  await listing.end();
}

type Answered = Control & { readonly rules: readonly string[] };

const COLUMNS: readonly Column<Answered>[] = [
  { name: 'control', value: ({ id }) => id },
  { name: 'covered', value: ({ covered }) => covered },
  { name: 'rules', value: ({ rules }) => rules, text: ({ rules }) => String(rules.length) },
  { name: 'title', value: ({ title }) => title },
];

function chosen(catalogues: readonly Catalogue[], id: string | undefined): readonly Catalogue[] {
  const wanted = new Set(controlsNamed(catalogues, id));
  return catalogues
    .map((catalogue) => ({ ...catalogue, controls: catalogue.controls.filter((control) => wanted.has(control)) }))
    .filter(({ controls }) => controls.length > 0);
}

/** Ours, and those of the repository around a path, as they lie there. Throws `config-invalid`. */
export function cataloguesAround(path: string): readonly Catalogue[] {
  const root = workTreeOf(existsSync(path) ? path : '.')?.root ?? '.';
  const folder = join(root, CONTROLS_FOLDER);
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => /\.ya?ml$/.test(name)) : [];
  return allCatalogues(
    new Map(names.toSorted().map((name) => [`${CONTROLS_FOLDER}/${name}`, readFileSync(join(folder, name), 'utf8')])),
  );
}
