import { post } from '../adapters/notifications/http.js';
import type { PostgresCursors } from '../adapters/postgres/cursors.js';
import type { Lease, EndWork } from '../audit/lease.js';
import type { Ledger } from '../audit/ledger.js';
import { Repeating } from '../audit/repeating.js';
import type { NotificationConfig } from '../config/notifications.js';
import type { CountersignError } from '../errors.js';
import { chatMessage, cloudEvent } from '../report/cloud-event.js';
import type { News } from '../report/news.js';
import { Notifier } from '../report/notifications.js';
import type { Records } from '../review/records.js';

export interface NotifyingParts {
  readonly ledger: Ledger;
  readonly records: Records;
  readonly cursors: PostgresCursors;
  /** Of the log: what events name as their source. */
  readonly origin: string;
  /** What is wrong with the log right now. */
  readonly logFaults: () => readonly CountersignError[];
  readonly onFault: (destination: string, fault: CountersignError) => void;
}

/** Milliseconds between two looks at the log. */
const EVERY = 1_000;
/** The longest pause of a destination that takes nothing. */
const LONGEST_PAUSE = 300_000;

/** What one of several instances does: tells each destination on its own, so that none waits for another. */
export async function beginNotifying(
  destinations: readonly NotificationConfig[],
  parts: NotifyingParts,
  lease: Lease,
): Promise<EndWork> {
  await parts.cursors.keep(destinations.map(({ name }) => name));
  const loops = destinations.map((destination) => {
    const notifier = new Notifier(destination, {
      ledger: parts.ledger,
      cursors: parts.cursors,
      deliver: (news) => post(destination, messageOf(news, destination, parts.origin)),
      standing: () => standingNews(destination.expiringMilliseconds, parts),
    });
    const round = (): Promise<void> => notifier.round(lease);
    return new Repeating(round, EVERY, (fault) => parts.onFault(destination.name, fault), LONGEST_PAUSE);
  });
  for (const loop of loops) loop.start();
  return async () => void (await Promise.all(loops.map((loop) => loop.stop())));
}

function messageOf(
  news: News,
  { text }: NotificationConfig,
  origin: string,
): { readonly id: string; readonly body: string; readonly contentType: string } {
  const { id } = news;
  if (text !== undefined) return { id, body: JSON.stringify(chatMessage(news, text)), contentType: 'application/json' };
  const body = JSON.stringify(cloudEvent(news, origin));
  return { id, body, contentType: 'application/cloudevents+json; charset=utf-8' };
}

/** Exceptions that will have ended so soon, and what is wrong with the log. */
async function standingNews(soon: number, { records, logFaults }: NotifyingParts): Promise<readonly News[]> {
  const now = new Date();
  const time = now.toISOString();
  const accepted = await records.find('exception', { status: 'accepted' });
  const expiring = accepted.filter(
    ({ expires }) => expires !== null && expires > time && Date.parse(expires) - soon <= now.getTime(),
  );
  return [
    ...expiring.map(({ id, repository, rule, scope, expires }): News => {
      const data = { id, rule, scope: scope && { ...scope }, expires };
      const environment = scope?.environment ?? null;
      return { type: 'exception.expiring', index: null, id: `expiring-${id}-${expires}`, repository, environment, outcome: 'expiring', time, data }; // prettier-ignore
    }),
    ...logFaults().map(({ code, message }): News => {
      const data = { code, message };
      return { type: 'log.trouble', index: null, id: `log-${code}`, repository: null, environment: null, outcome: code, time, data }; // prettier-ignore
    }),
  ];
}
