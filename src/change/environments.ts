import { z } from 'zod';
import type { JsonObject } from '../cluster/object.js';
import { CountersignError } from '../errors.js';
import { type Fault, faultsError, faultsOf, readSettings } from '../settings.js';
import { OBJECT_ID } from '../source/object-id.js';
import { isUnsafePath, normalizeFolder } from '../source/path.js';
import type { TreeEntry } from '../source/repository.js';
import { dependencyFaults, inDependencyOrder } from './dependencies.js';
import { type Environment, GOVERNANCE } from './environment.js';
import { ENVIRONMENT_NAME, expandTemplate, stars } from './environment-templates.js';
import { reconcileSchema } from './reconcile-settings.js';

/** Where the governed settings of a repository stand in its tree. */
export const SETTINGS_FILE = 'countersign.yaml';

/** What a repository's countersign.yaml says. */
export interface GovernanceSettings {
  readonly environments: readonly Environment[];
  /** Those whose path has a `*`: each folder that fits is an environment. */
  readonly templates: readonly Environment[];
  readonly policies: PolicySettings;
  /** What lies above the repositories of an organisation, where this one is its own; null where it says nothing of that. */
  readonly organisation: OrganisationRules | null;
}

/** What an organisation's countersign.yaml says under `organisation:`. */
export interface OrganisationRules {
  /** The starter rules that run everywhere, and what they are told. */
  readonly starter: PolicySettings['starter'];
  /** What a repository may do in spite of it. Ids of rules, or `*` for all. */
  readonly allow: {
    /** Rules, the organisation's own and those of its profile, that exceptions may be made from. */
    readonly exceptions: readonly string[];
    /** Starter rules of its profile that may be switched off. */
    readonly off: readonly string[];
    /** Settings of the starter rules that repositories may give in its place. */
    readonly settings: readonly string[];
  };
}

export interface PolicySettings {
  /** Folder of the repository with *.rego and data files, '' for its root. */
  readonly path: string;
  /** Refuse rules that read what the input does not have. */
  readonly strict: boolean;
  readonly starter: {
    readonly profile: 'baseline' | 'strict' | 'off';
    /** Ids of starter rules that do not run. */
    readonly off: readonly string[];
    /** Data the starter rules read, for example `registries`. */
    readonly data: JsonObject;
  };
}

export const defaultPolicies: PolicySettings = {
  path: 'policies',
  strict: false,
  starter: { profile: 'baseline', off: [], data: {} },
};

export const noSettings: GovernanceSettings = {
  environments: [],
  templates: [],
  policies: defaultPolicies,
  organisation: null,
};

const REMEDY = 'See docs/countersign-yaml.md for the format';

const folder = (fallback: string) => z.string().default(fallback).check(safePath).transform(normalizeFolder);

function safePath(ctx: z.core.ParsePayload<string>): void {
  const path = ctx.value;
  const wrong = path.startsWith('/')
    ? 'it must be relative to the root of the repository'
    : /[\\\0]/.test(path)
      ? 'it must use "/" between folders'
      : isUnsafePath(normalizeFolder(path)) && normalizeFolder(path) !== ''
        ? 'it must not contain "..", ".git" or empty names'
        : undefined;
  if (wrong) ctx.issues.push({ code: 'custom', input: path, message: wrong });
}

const text = z.string();
const environmentSchema = z.strictObject({
  name: text.refine((name) => ENVIRONMENT_NAME.test(name.replaceAll('*', 'x')), {
    error: 'it must be letters, digits, ".", "_" and "-", in parts separated by "/"',
  }),
  path: folder('.'),
  ref: text.default('refs/heads/main').check((ctx) => {
    if (/^refs\/[^\s~^:?*[\\]+$/.test(ctx.value) && !/\.\.|\/\/|\/$|\.lock$|@\{/.test(ctx.value)) return;
    const near = /^[\w./-]+$/.test(ctx.value) ? ` (did you mean "refs/heads/${ctx.value}"?)` : '';
    ctx.issues.push({ code: 'custom', input: ctx.value, message: `it must be a full ref name${near}` });
  }),
  target: text.min(1, { error: 'it must not be empty' }).nullable().default(null),
  namespace: text
    .regex(/^[a-z0-9*]([-a-z0-9*]{0,61}[a-z0-9*])?$/, { error: 'it must be the name of a Kubernetes namespace' })
    .nullable()
    .default(null),
  labels: z.record(text, text).default({}),
  ignore: z.array(text.min(1, { error: 'it must not be empty' }).max(500)).default([]),
  helm: z
    .strictObject({
      chart: z.string().check(safePath).transform(normalizeFolder).optional(),
      release: text
        .regex(/^[a-z0-9*]([-a-z0-9.*]{0,51}[a-z0-9*])?$/, { error: 'it must be the name of a Helm release' })
        .optional(),
      namespace: text
        .regex(/^[a-z0-9*]([-a-z0-9*]{0,61}[a-z0-9*])?$/, { error: 'it must be the name of a Kubernetes namespace' })
        .optional(),
      values: z.array(z.string().check(safePath).transform(normalizeFolder)).default([]),
      includeCRDs: z.boolean().default(true),
      kubeVersion: text.regex(/^v?\d+\.\d+(\.\d+)?$/, { error: 'it must be a version, as 1.34.0' }).optional(),
      apiVersions: z.array(text.min(1)).default([]),
    })
    .optional(),
  reconcile: reconcileSchema.optional(),
  dependsOn: z.array(text.min(1, { error: 'it must not be empty' })).optional(),
  pin: z
    .strictObject({
      commit: text.regex(OBJECT_ID, { error: 'it must be a full commit id' }),
      reason: text.min(1, { error: 'it must say why' }).max(500),
      ticket: text.min(1).max(100).optional(),
    })
    .optional(),
});

const json: z.ZodType<JsonObject> = z.record(text, z.json());
const starter = (profile: 'baseline' | 'off') =>
  z
    .strictObject({
      profile: z.enum(['baseline', 'strict', 'off']).default(profile),
      off: z.array(text).default([]),
      data: json.default({}),
    })
    .default({ profile, off: [], data: {} });
/** countersign.yaml, as it is written. */
export const settingsSchema = z.strictObject({
  apiVersion: z.literal('countersign.dev/v1'),
  environments: z.array(environmentSchema).default([]),
  policies: z
    .strictObject({
      path: folder('policies'),
      strict: z.boolean().default(false),
      starter: starter('baseline'),
    })
    .default({ path: 'policies', strict: false, starter: { profile: 'baseline', off: [], data: {} } }),
  organisation: z
    .strictObject({
      starter: starter('off'),
      allow: z
        .strictObject({
          exceptions: z.array(text).default([]),
          off: z.array(text).default([]),
          settings: z.array(text).default([]),
        })
        .default({ exceptions: [], off: [], settings: [] }),
    })
    .nullable()
    .default(null),
});

/** Reads a countersign.yaml. Throws `config-invalid` that names every fault at once, each with file and line. */
export function parseSettings(content: string, file = SETTINGS_FILE): GovernanceSettings {
  const settings = readSettings(content, file);
  const parsed = settingsSchema.safeParse(settings.value, { reportInput: true });
  const faults = parsed.success
    ? [
        ...duplicates(parsed.data.environments),
        ...wrongStars(parsed.data.environments),
        ...wrongDependencies(parsed.data.environments),
      ]
    : faultsOf(parsed.error, settingsSchema);
  if (parsed.success && faults.length === 0) {
    const { environments, policies, organisation } = parsed.data;
    return {
      environments: inDependencyOrder(environments.filter((environment) => !isTemplate(environment))),
      templates: environments.filter(isTemplate),
      policies,
      organisation,
    };
  }
  throw faultsError(faults, settings, REMEDY);
}

function isTemplate({ path }: Environment): boolean {
  return path.includes('*');
}

/** The settings with an environment for each folder that fits a template. Throws `config-invalid`. */
export function withTemplates(
  settings: GovernanceSettings,
  entries: readonly Pick<TreeEntry, 'path' | 'type'>[],
): GovernanceSettings {
  const isNamed = ({ path, ref }: Environment) => settings.environments.some((one) => one.path === path && one.ref === ref); // prettier-ignore
  // What is said of one folder goes before what is said of all.
  const made = settings.templates
    .flatMap((template) => expandTemplate(template, entries))
    .filter((environment) => !isNamed(environment));
  const environments = [...settings.environments, ...made];
  const [fault] = [...duplicates(environments), ...wrongDependencies(environments)];
  if (!fault) return { ...settings, environments: inDependencyOrder(environments) };
  const { name, path } = environments[Number(fault.path[1])];
  throw new CountersignError('config-invalid', `environment "${name}" (${path}): ${fault.message}`, {
    place: { file: SETTINGS_FILE },
    remedy: 'Each folder can be one environment only: correct the entries with a "*"',
  });
}

/** Where there are templates, their folders may be what is depended on. */
function wrongDependencies(environments: readonly Environment[]): Fault[] {
  const open = environments.some(isTemplate);
  return dependencyFaults(environments, { open }).map(({ environment, position, message }) => ({
    path: ['environments', environment, 'dependsOn', position],
    message,
  }));
}

/** A star stands for the name of a folder: whole parts of the path only, and as many in the name, so that no two are called the same. */
function wrongStars(environments: readonly Environment[]): Fault[] {
  return environments.flatMap(({ name, path, namespace, target, helm, dependsOn }, i) => {
    const faults: Fault[] = [];
    const add = (field: string, message: string) => faults.push({ path: ['environments', i, field], message });
    const wanted = stars(path);
    if (path.split('/').some((part) => part.includes('*') && part !== '*')) add('path', '"*" stands for the whole name of a folder'); // prettier-ignore
    if (stars(name) !== wanted) add('name', `it must have as many "*" as the path, which has ${wanted}`);
    for (const [field, value] of Object.entries({ namespace, target })) {
      if (stars(value ?? '') > wanted) add(field, `it has more "*" than the path, which has ${wanted}`);
    }
    if ((dependsOn ?? []).some((other) => stars(other) > wanted)) add('dependsOn', `it has more "*" than the path, which has ${wanted}`); // prettier-ignore
    const texts = [helm?.chart, helm?.release, helm?.namespace, ...(helm?.values ?? [])];
    if (texts.some((value) => stars(value ?? '') > wanted))
      add('helm', `it has more "*" than the path, which has ${wanted}`);
    return faults;
  });
}

function duplicates(environments: readonly Environment[]): Fault[] {
  const faults: Fault[] = [];
  const names = new Map<string, number>();
  const places = new Map<string, string>();
  environments.forEach(({ name, ref, path, target }, i) => {
    if (name === GOVERNANCE)
      faults.push({ path: ['environments', i, 'name'], message: 'this name is taken by Countersign itself' });
    const before = names.get(name);
    if (before !== undefined) {
      faults.push({ path: ['environments', i, 'name'], message: `environments[${before}] is called "${name}" too` });
    }
    names.set(name, i);
    if (environments[i].reconcile?.applySet && environments[i].namespace === null) {
      faults.push({ path: ['environments', i, 'reconcile', 'applySet'], message: 'its object needs a namespace: give the environment one' }); // prettier-ignore
    }
    // Two environments that write the same objects to one target would undo each other for ever.
    const place = JSON.stringify([ref, path, target]);
    const twin = places.get(place);
    if (twin !== undefined && target !== null && twin !== name) {
      faults.push({ path: ['environments', i, 'path'], message: `"${twin}" has the same ref, path and target` });
    }
    places.set(place, name);
  });
  return faults;
}

/** The environment of that name. Throws `environment-invalid` that names those there are. */
export function environmentNamed(settings: GovernanceSettings, name: string, file = SETTINGS_FILE): Environment {
  const found = settings.environments.find((environment) => environment.name === name);
  if (found) return found;
  const names = settings.environments.map((environment) => environment.name);
  throw new CountersignError('environment-invalid', `there is no environment "${name}"`, {
    place: { file },
    remedy: names.length ? `Choose one of ${names.join(', ')}` : 'Add it under environments:',
  });
}
