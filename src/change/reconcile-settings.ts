import { z } from 'zod';
import { parseJqPath } from '../cluster/jq-path.js';
import { toCountersignError } from '../errors.js';
import { milliseconds } from '../units.js';
import { parseSchedule } from './schedule.js';

/** How an environment is kept, as its governed countersign.yaml says. Durations in milliseconds. */
export interface ReconcileSettings {
  /** What becomes of drift: put right (the default), only recorded, or not looked for. */
  readonly drift?: DriftMode;
  /** What differs from `drift` for some objects; the first that fits counts. */
  readonly driftOf?: readonly (ObjectPattern & { readonly mode: DriftMode })[];
  /** What becomes of drift that was made while the service was down. Default: as any other. */
  readonly afterOutage?: 'correct' | 'report';
  /** Fields that are nobody's drift. */
  readonly ignoreDifferences?: readonly IgnoredDifferences[];
  readonly prune?: PruneSettings;
  readonly health?: {
    /** How long a wave may take to be healthy; default ten minutes. */
    readonly timeout?: number;
    /** What becomes of a rollout that fails: it stays (the default), or the last approved commit whose rollout was healthy comes back. */
    readonly onFailure?: 'stay' | 'return';
  };
  /** An object that tells other tools which objects belong together (KEP-3659); none unless it is named. */
  readonly applySet?: { readonly parent: string };
  /** Nothing is written while it stands; drift is recorded. */
  readonly suspend?: Said;
  /** When changes go live; what was live is kept at any time. */
  readonly windows?: readonly SyncWindow[];
  /** Windows do not count until then. */
  readonly override?: Said & { readonly until: string };
}

export interface Said {
  readonly reason: string;
  /** RFC 3339; without it, until it is taken out. */
  readonly until?: string;
}

/** As Argo CD's sync windows: inside a `deny` nothing goes live; where there are any `allow`, only inside one. */
export interface SyncWindow {
  readonly kind: 'allow' | 'deny';
  /** Five fields of cron: when it begins. */
  readonly schedule: string;
  readonly duration: number;
  /** IANA name; default UTC. */
  readonly timeZone?: string;
  readonly reason?: string;
}

export type DriftMode = 'correct' | 'report' | 'off';

/** Objects of an environment; what it does not say fits all. `*` in a name stands for any text. */
export interface ObjectPattern {
  readonly group?: string;
  readonly kind?: string;
  readonly name?: string;
  readonly namespace?: string;
}

/** As Argo CD's `ignoreDifferences`. */
export interface IgnoredDifferences extends ObjectPattern {
  /** RFC 6901. */
  readonly jsonPointers?: readonly string[];
  /** Paths of jq. */
  readonly jqPathExpressions?: readonly string[];
  /** Whatever these field managers own. */
  readonly managedFieldsManagers?: readonly string[];
}

export interface PruneSettings {
  /** False: what Git no longer has is left where it is. */
  readonly enabled?: boolean;
  /** Share of the environment's objects, 0 to 1, that one change may delete without an approval; default a half. */
  readonly atMost?: number;
  /** Kinds that are deleted only by a change that somebody approved. */
  readonly protect?: readonly string[];
}

/** What takes more with it than itself, or can't be made again. */
export const protectedKinds: readonly string[] = [
  'Namespace',
  'CustomResourceDefinition',
  'PersistentVolume',
  'PersistentVolumeClaim',
];

const text = z.string().min(1, { error: 'it must not be empty' });
const pattern = {
  group: z.string().optional(),
  kind: text.optional(),
  name: text.optional(),
  namespace: text.optional(),
};
const mode = z.enum(['correct', 'report', 'off']);

function jqPath(ctx: z.core.ParsePayload<string>): void {
  try {
    parseJqPath(ctx.value);
  } catch (thrown) {
    ctx.issues.push({ code: 'custom', input: ctx.value, message: toCountersignError(thrown).message });
  }
}

function cron(ctx: z.core.ParsePayload<{ schedule: string; timeZone?: string | undefined }>): void {
  try {
    parseSchedule(ctx.value.schedule, ctx.value.timeZone);
  } catch (thrown) {
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    ctx.issues.push({ code: 'custom', input: ctx.value, path: ['schedule'], message });
  }
}

const instant = z.iso.datetime({ offset: true, error: 'it must be a time such as 2026-11-21T18:00:00Z' });
const reason = z.string().min(1, { error: 'it must say why' }).max(500);

const share = z
  .union([z.number(), z.string()])
  .transform((value) =>
    typeof value === 'number' ? value : /^\d{1,3}%$/.test(value) ? parseInt(value, 10) / 100 : NaN,
  )
  .refine((value) => value >= 0 && value <= 1, { error: 'it must be a share such as 50%, or a number from 0 to 1' });

export const reconcileSchema = z.strictObject({
  drift: mode.optional(),
  driftOf: z.array(z.strictObject({ ...pattern, mode })).optional(),
  afterOutage: z.enum(['correct', 'report']).optional(),
  ignoreDifferences: z
    .array(
      z.strictObject({
        ...pattern,
        jsonPointers: z
          .array(z.string().regex(/^(\/([^~/]|~[01])*)+$/, { error: 'it must be a JSON pointer, as /spec/replicas' }))
          .optional(),
        jqPathExpressions: z.array(text.check(jqPath)).optional(),
        managedFieldsManagers: z.array(text).optional(),
      }),
    )
    .optional(),
  prune: z
    .strictObject({ enabled: z.boolean().optional(), atMost: share.optional(), protect: z.array(text).optional() })
    .optional(),
  health: z
    .strictObject({
      timeout: milliseconds({ atLeast: 1_000, atMost: 86_400_000 }).optional(),
      onFailure: z.enum(['stay', 'return']).optional(),
    })
    .optional(),
  applySet: z
    .strictObject({
      parent: z
        .string()
        .regex(/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/, { error: 'it must be the name of a ConfigMap' }),
    })
    .optional(),
  suspend: z.strictObject({ reason, until: instant.optional() }).optional(),
  windows: z
    .array(
      z
        .strictObject({
          kind: z.enum(['allow', 'deny']),
          schedule: text,
          duration: milliseconds({ atLeast: 60_000, atMost: 31 * 86_400_000 }),
          timeZone: text.optional(),
          reason: text.optional(),
        })
        .check(cron),
    )
    .optional(),
  override: z.strictObject({ reason, until: instant }).optional(),
});
