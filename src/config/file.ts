import { z } from 'zod';
import { type ContentKind, contentKinds } from '../audit/retention.js';
import { exportPeriods } from '../report/scheduled-exports.js';
import { roles } from '../review/authority.js';
import { bytes, milliseconds } from '../units.js';

// The shape of service.yaml; what it means is worked out in config.ts.

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;

/** What a target's `kubeconfig` says instead of a path: the service account of the pod that we run in. */
export const IN_CLUSTER = 'in-cluster';

/** Signatures by keys that only the issuer has: with a shared secret whoever checks could make them, too; `none` is none. */
export const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const; // prettier-ignore

const name = z.string().regex(/^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$/, {
  error: 'it must be 1 to 63 lower-case letters, digits, ".", "_" or "-", with a letter or digit at both ends',
});
const ref = z.string().check((ctx) => {
  if (/^refs\/[^\s~^:?*[\\]+$/.test(ctx.value) && !/\.\.|\/\/|\/$|\.lock$|@\{/.test(ctx.value)) return;
  const message = /^[\w./-]+$/.test(ctx.value)
    ? `it must be a full ref name (did you mean "refs/heads/${ctx.value}"?)`
    : 'it must be a full ref name, such as refs/heads/main';
  ctx.issues.push({ code: 'custom', input: ctx.value, message });
});
const envName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, { error: 'it must be the name of an environment variable' });

const places = z.array(z.string().min(1)).min(1, { error: 'it must name at least one, or "*"' });

const credentials = z
  .strictObject({
    username: z.string().optional(),
    passwordEnv: envName.optional(),
    passwordFile: z.string().optional(),
    tokenEnv: envName.optional(),
    tokenFile: z.string().optional(),
  })
  .optional();
const ssh = z.strictObject({ keyFile: z.string(), knownHosts: z.string() }).optional();
const grants = z
  .array(
    z.strictObject({
      repository: z.string(),
      namespaces: z.array(z.string().min(1)).default([]),
      kinds: z
        .array(
          z.string().regex(/^(\*|([a-z0-9.-]+\/)?[A-Z][A-Za-z0-9]*)$/, {
            error: 'it must be a kind such as Deployment or apps/Deployment, or "*"',
          }),
        )
        .default(['*']),
    }),
  )
  .default([]);

/** At least a day: what was recorded a moment ago is looked at by whoever follows it. */
const kept = milliseconds({ atLeast: 86_400_000, atMost: 36_500 * 86_400_000 }).optional();

/** A folder, or a bucket and what belongs to it. */
const filePlace = {
  folder: z.string().optional(),
  bucket: z.string().optional(),
  prefix: z.string().optional(),
  region: z.string().optional(),
  endpoint: z.string().optional(),
  accessKeyEnv: envName.optional(),
  secretKeyEnv: envName.optional(),
};

const repository = z.strictObject({
  name,
  url: z.string(),
  refs: z.array(ref).min(1, { error: 'it must name at least one ref' }).optional(),
  governance: ref.default('refs/heads/main'),
  trust: z.strictObject({ commit: z.string().optional(), key: z.string().optional() }),
  poll: milliseconds({ atLeast: 100, atMost: 86_400_000 }).optional(),
  anchor: milliseconds({ atLeast: 1_000, atMost: 7 * 86_400_000 }).optional(),
  credentials,
  ssh,
  administrators: z
    .array(
      z.strictObject({
        name: z.string().regex(/^[^\s\p{Cc},"*?!]{1,255}$/u, { error: 'it must be one name, without spaces' }),
        key: z.string(),
      }),
    )
    .optional(),
  webhook: z.strictObject({ secretEnv: envName.optional(), secretFile: z.string().optional() }).optional(),
  forge: z
    .strictObject({
      kind: z.enum(['github', 'gitlab', 'gitea']),
      api: z.string().optional(),
      project: z.string().regex(/^[\w.-]+(\/[\w.-]+)+$/, { error: 'it must be like acme/shop' }),
      tokenEnv: envName.optional(),
      tokenFile: z.string().optional(),
    })
    .optional(),
});

export const instanceName = z
  .string()
  .regex(/^[\w.-]{1,100}$/, { error: 'it must be a name of letters, digits, ".", "_" and "-"' });

export const fileSchema = z.strictObject({
  listen: z.string().default('127.0.0.1:4100'),
  url: z.string().optional(),
  tls: z.strictObject({ certificate: z.string(), key: z.string() }).optional(),
  proxy: z.array(z.string()).optional(),
  database: z.string().default('embedded'),
  instance: instanceName.optional(),
  log: z
    .strictObject({
      origin: z.string().optional(),
      level: z.enum(logLevels).optional(),
      witnesses: z.string().optional(),
      cosignEvery: milliseconds({ atLeast: 100, atMost: 86_400_000 }).optional(),
      mirror: z
        .strictObject({
          ...filePlace,
          every: milliseconds({ atLeast: 100, atMost: 86_400_000 }).optional(),
        })
        .optional(),
    })
    .optional(),
  repositories: z.array(repository),
  organisation: repository.extend({ name: name.default('organisation') }).optional(),
  targets: z
    .array(
      z.strictObject({
        name,
        kind: z.enum(['kubernetes']).default('kubernetes'),
        kubeconfig: z.string(),
        context: z.string().optional(),
        allowExec: z.boolean().optional(),
        events: z.boolean().optional(),
        audit: z
          .strictObject({ tokenEnv: envName.optional(), tokenFile: z.string().optional(), log: z.string().optional() })
          .optional(),
        impersonate: z
          .array(
            z.strictObject({
              repository: z.string(),
              environment: z.string().min(1),
              serviceAccount: z
                .string()
                .regex(/^[a-z0-9-]{1,63}\/[a-z0-9.-]{1,253}$/, { error: 'it must be NAMESPACE/NAME' })
                .optional(),
              user: z.string().min(1).optional(),
              groups: z.array(z.string().min(1)).default([]),
            }),
          )
          .optional(),
        grants,
      }),
    )
    .default([]),
  gates: z
    .array(
      z.strictObject({
        name,
        ref: z.string().optional(),
        url: z.string().optional(),
        credentials,
        ssh,
        poll: milliseconds({ atLeast: 100, atMost: 86_400_000 }).optional(),
        status: z
          .strictObject({
            kubeconfig: z.string(),
            context: z.string().optional(),
            allowExec: z.boolean().optional(),
            urls: z.array(z.string().min(1)).default([]),
          })
          .optional(),
        grants,
      }),
    )
    .default([]),
  notifications: z
    .array(
      z.strictObject({
        name,
        url: z.string().optional(),
        urlEnv: envName.optional(),
        urlFile: z.string().optional(),
        secretEnv: envName.optional(),
        secretFile: z.string().optional(),
        types: places.optional(),
        repositories: places.optional(),
        environments: places.optional(),
        outcomes: places.optional(),
        text: z.string().min(1).max(2_000).optional(),
        expiring: milliseconds({ atLeast: 60_000, atMost: 90 * 86_400_000 }).optional(),
      }),
    )
    .optional(),
  retention: z
    .strictObject(Object.fromEntries(contentKinds.map((kind) => [kind, kept])) as Record<ContentKind, typeof kept>)
    .optional(),
  exports: z
    .array(
      z.strictObject({
        name,
        report: z.enum(['changes', 'management', 'oscal', 'vsa', 'evidence']),
        format: z.string().optional(),
        cron: z.string(),
        zone: z.string().default('UTC'),
        period: z.enum(exportPeriods),
        repository: z.string().optional(),
        environment: z.string().optional(),
        decision: z.string().optional(),
        controls: z.string().optional(),
        sample: z.string().optional(),
        seed: z.string().optional(),
        to: z.strictObject({
          ...filePlace,
          lock: z
            .strictObject({ mode: z.enum(['governance', 'compliance']), days: z.int().min(1).max(36_500) })
            .optional(),
        }),
      }),
    )
    .optional(),
  admission: z
    .strictObject({
      listen: z.string(),
      certificate: z.string(),
      key: z.string(),
      clientAuthority: z.string().optional(),
      identity: z.array(z.string().min(1)).min(1, { error: 'it must name the user that Countersign itself writes as' }),
      namespace: z.string().min(1).default('countersign'),
      controllers: z.array(z.string().min(2)).optional(),
      bypass: z.array(z.string().min(1)).default([]),
    })
    .optional(),
  access: z
    .strictObject({
      loopback: z.enum(['read', 'token']).default('token'),
      log: z.enum(['public', 'readers']).default('readers'),
      queries: z.string().optional(),
      introspection: z.enum(['callers', 'known', 'none']).default('callers'),
      tokens: z
        .array(
          z.strictObject({
            name,
            login: z.string().regex(/^[^\s\p{Cc}*]{1,255}$/u, { error: 'it must be one login, without spaces' }),
            role: z.enum(roles),
            sha256: z.string().regex(/^[0-9a-f]{64}$/, {
              error: 'it must be what "countersign token" printed beside the token, never the token itself',
            }),
            repositories: places,
            environments: places,
            expires: z.iso.datetime({ offset: true, error: 'it must be an instant such as 2027-01-01T00:00:00Z' }),
          }),
        )
        .default([]),
      oidc: z
        .strictObject({
          issuer: z.string(),
          audience: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]),
          algorithms: z
            .array(z.enum(algorithms))
            .min(1)
            .default([...algorithms]),
          login: z.string().min(1).default('sub'),
          groups: z.string().min(1).default('groups'),
          skew: milliseconds({ atLeast: 0, atMost: 300_000 }).default(60_000),
          roles: z
            .array(
              z.strictObject({
                group: z.string().min(1),
                role: z.enum(roles),
                repositories: places.default(['*']),
                environments: places.default(['*']),
              }),
            )
            .min(1, { error: 'it must give at least one group a role' }),
          client: z
            .strictObject({
              cli: z.string().min(1),
              scope: z.string().default('openid profile email'),
            })
            .optional(),
          console: z
            .strictObject({
              client: z.string().min(1),
              secretEnv: envName.optional(),
              secretFile: z.string().optional(),
              scope: z.string().default('openid profile email'),
              idle: milliseconds({ atLeast: 60_000, atMost: 86_400_000 }).default(3_600_000),
              life: milliseconds({ atLeast: 60_000, atMost: 7 * 86_400_000 }).default(12 * 3_600_000),
            })
            .optional(),
        })
        .optional(),
    })
    .optional(),
  limits: z
    .strictObject({
      requestsPerSecond: z.int().min(1).max(1_000_000).optional(),
      manifestBytes: bytes({ atLeast: 1_024, atMost: 2 ** 30 }).optional(),
      evaluation: milliseconds({ atLeast: 10, atMost: 600_000 }).optional(),
      commits: z.int().min(1).max(1_000_000).optional(),
      wasmMemory: bytes({ atLeast: 16 * 2 ** 20, atMost: 4 * 2 ** 30 }).optional(),
    })
    .optional(),
});
export type Written = z.infer<typeof fileSchema>;
