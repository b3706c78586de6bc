import type { LoggedEntry } from '../audit/entry.js';
import type { Json, JsonObject } from '../cluster/object.js';

/** The events that people and programs are told of, by what they are called. */
export const newsTypes = [
  'decision.recorded',
  'run.started',
  'run.finished',
  'drift.found',
  'drift.traced',
  'environment.returned',
  'action.recorded',
  'exception.recorded',
  'exception.expiring',
  'approval.recorded',
  'fault.recorded',
  'log.trouble',
] as const;
export type NewsType = (typeof newsTypes)[number];

/**
 * Something that happened, for those who want to hear of it. It holds what a leaf of the log holds: identities of things and digests, never
 * names of people, messages or object bodies (invariants 10, 11), so that it may go to whoever may see the repository and environment.
 */
export interface News {
  readonly type: NewsType;
  /** Index of its entry in the log; null for what is true for a time rather than happened. */
  readonly index: number | null;
  /** Unique in this log. */
  readonly id: string;
  readonly repository: string | null;
  readonly environment: string | null;
  /** `allow`, `failed`, `weak`: of few values for each type. */
  readonly outcome: string | null;
  /** RFC 3339, UTC. */
  readonly time: string;
  readonly data: JsonObject;
}

/** What an entry of the log has to tell; null for what is nobody's news. */
export function newsOf({ index, type, time, predicate }: LoggedEntry): News | null {
  const { contents: _contents, ...data } = predicate;
  const news = (called: NewsType, outcome: Json | undefined): News => ({
    type: called,
    index,
    id: String(index),
    repository: text(predicate['repository']),
    environment: text(predicate['environment']),
    outcome: text(outcome),
    time,
    data: { index, ...data },
  });
  switch (type) {
    case 'decision':
      // Of an open request it is advice, and no decision yet.
      return predicate['advice'] === true ? null : news('decision.recorded', predicate['outcome']);
    case 'run':
      return predicate['phase'] === 'started'
        ? news('run.started', predicate['reason'])
        : news('run.finished', predicate['outcome']);
    case 'drift':
      return news(predicate['supplements'] === undefined ? 'drift.found' : 'drift.traced', predicate['strength']);
    case 'action':
      return predicate['action'] === 'return'
        ? news('environment.returned', predicate['to'] === null ? 'refused' : 'returned')
        : news('action.recorded', predicate['action']);
    case 'exception':
      return news('exception.recorded', predicate['status']);
    case 'approval':
      return news('approval.recorded', predicate['status']);
    case 'fault':
      return news('fault.recorded', predicate['code']);
    default:
      return null;
  }
}

const text = (value: Json | undefined): string | null => (typeof value === 'string' ? value : null);

/** One line for people. */
export function sentenceOf({ type, repository, environment, outcome, data }: News): string {
  const place = [repository, environment].filter((one) => one !== null).join(' ');
  const said = (name: string): string => text(data[name]) ?? '';
  const commit = (name: string): string => said(name).slice(0, 12);
  const words: Readonly<Partial<Record<NewsType, () => string>>> = {
    'decision.recorded': () => `${outcome} ${commit('head')}${listed(data['rules'])}`,
    'run.started': () => `run for ${commit('head')} begins (${outcome})`,
    'run.finished': () => `run for ${commit('head')} ${outcome}${data['trouble'] ? `: ${said('trouble')}` : ''}`,
    'drift.found': () => `${objectOf(data)} differs from what is approved (${said('type')})`,
    'drift.traced': () => `who changed a drifted object is known: ${outcome}`,
    'environment.returned': () =>
      outcome === 'refused'
        ? `the rollout of ${commit('from')} failed, and it stays`
        : `the rollout of ${commit('from')} failed, and it goes back to ${commit('to')}`,
    'exception.recorded': () => `exception ${said('id')} ${outcome}`,
    'exception.expiring': () => `exception ${said('id')} from ${said('rule')} ends at ${said('expires')}`,
    'approval.recorded': () => `approval of ${commit('head')} ${outcome}`,
    'log.trouble': () => `the log: ${said('message')}`,
  };
  return `${place}${place && ': '}${words[type]?.() ?? `${type.split('.')[0]} ${outcome}`}`;
}

function listed(rules: Json | undefined): string {
  if (!Array.isArray(rules) || rules.length === 0) return '';
  return `: ${rules.slice(0, 5).join(', ')}${rules.length > 5 ? `, and ${rules.length - 5} more` : ''}`;
}

function objectOf({ object }: JsonObject): string {
  const { kind, namespace, name } = (object ?? {}) as JsonObject;
  const place = text(namespace);
  return `${text(kind) ?? ''} ${place ? `${place}/` : ''}${text(name) ?? ''}`;
}
