import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

export const FORGES = ['github', 'gitlab', 'gitea'] as const;
export type ForgeKind = (typeof FORGES)[number];

/** One webhook as its forge sent it, before anything of it is believed. */
export interface Delivery {
  readonly forge: ForgeKind;
  /** What the forge calls this delivery; a claim, since no forge signs it. */
  readonly id: string;
  readonly event: string;
}

type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/** By forge: headers of event and delivery id. Gitea and Forgejo send GitHub's names, too; their own come first. */
const NAMES: Readonly<Record<ForgeKind, { readonly event: readonly string[]; readonly id: readonly string[] }>> = {
  github: { event: ['x-github-event'], id: ['x-github-delivery'] },
  gitlab: { event: ['x-gitlab-event'], id: ['idempotency-key', 'x-gitlab-event-uuid'] },
  gitea: {
    event: ['x-gitea-event', 'x-forgejo-event', 'x-gogs-event'],
    id: ['x-gitea-delivery', 'x-forgejo-delivery', 'x-gogs-delivery'],
  },
};

/** Undefined where a forge would have said more: it is no webhook of that forge. */
export function deliveryOf(forge: ForgeKind, headers: Headers): Delivery | undefined {
  const first = (names: readonly string[]): string | undefined =>
    names.map((name) => headers[name]).find((value): value is string => typeof value === 'string' && value !== '');
  const [id, event] = [first(NAMES[forge].id), first(NAMES[forge].event)];
  if (id === undefined || event === undefined || id.length > 200 || event.length > 100) return undefined;
  return { forge, id, event };
}

/**
 * Whether whoever sent it knows the secret: GitHub and Gitea sign the body with HMAC-SHA-256, GitLab sends the secret itself.
 * Compared in constant time, by digests of equal length.
 */
export function isGenuine(forge: ForgeKind, headers: Headers, body: Buffer, secret: string): boolean {
  if (forge === 'gitlab') return equal(headers['x-gitlab-token'], secret);
  const mac = createHmac('sha256', secret).update(body).digest('hex');
  if (forge === 'github') return equal(headers['x-hub-signature-256'], `sha256=${mac}`);
  return equal(headers['x-gitea-signature'] ?? headers['x-forgejo-signature'], mac);
}

function equal(given: Headers[string], wanted: string): boolean {
  return typeof given === 'string' && timingSafeEqual(digest(given), digest(wanted));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/**
 * Deliveries seen within a window. A replay is known by its id, and by its bytes where those are what was signed: whoever recorded
 * a genuine one may send it under another id.
 */
export class SeenDeliveries {
  readonly #seen = new Map<string, number>();

  constructor(
    private readonly window = 24 * 3_600_000,
    private readonly most = 20_000,
    private readonly now: () => number = Date.now,
  ) {}

  /** Remembers it; false if it was here before. */
  add(repository: string, { forge, id }: Delivery, body: Buffer): boolean {
    const time = this.now();
    for (const [key, seen] of this.#seen) {
      if (time - seen <= this.window && this.#seen.size <= this.most) break;
      this.#seen.delete(key);
    }
    const keys = [`${repository} ${forge} id ${id}`];
    if (forge !== 'gitlab') keys.push(`${repository} body ${createHash('sha256').update(body).digest('hex')}`);
    const fresh = keys.every((key) => !this.#seen.has(key));
    for (const key of keys) if (!this.#seen.has(key)) this.#seen.set(key, time);
    return fresh;
  }
}
