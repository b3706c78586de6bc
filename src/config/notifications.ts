import type { ConfigOptions } from '../config.js';
import type { Written } from './file.js';
import { readSecret, type FaultAt } from './repository.js';
import { newsTypes } from '../report/news.js';
import type { Destination } from '../report/notifications.js';
import { globMatcher } from '../change/glob.js';
import { suggest } from '../settings.js';

export interface NotificationConfig extends Destination {
  /** May itself be a secret: never written anywhere. */
  readonly url: string;
  /** What bodies are signed with. */
  readonly secret?: string;
  /** A template of one line for a chat, in place of a CloudEvent. */
  readonly text?: string;
  /** How long before they end exceptions are told of, in milliseconds. */
  readonly expiringMilliseconds: number;
}

type WrittenNotification = NonNullable<Written['notifications']>[number];

const DAY = 86_400_000;
const SHORTEST_SECRET = 16;

/** A destination of service.yaml, with its secrets read. Adds to the faults. */
export function resolveNotification(
  written: WrittenNotification,
  base: string,
  env: ConfigOptions['env'],
  fault: FaultAt,
): NotificationConfig {
  const { url: plain, urlEnv, urlFile, secretEnv, secretFile, expiring = 7 * DAY, ...rest } = written;
  const given = [plain, urlEnv, urlFile].filter((one) => one !== undefined);
  if (given.length !== 1) fault([], 'it must hold exactly one of "url", "urlEnv" and "urlFile"');
  const read = (named: Readonly<Record<string, string | undefined>>): string =>
    readSecret([], named, { base, env, fault }) ?? '';
  const url = plain ?? (given.length === 1 ? read({ urlEnv, urlFile }) : '');
  if (url !== '') checkAddress(url, (message) => fault(plain === undefined ? [] : ['url'], message));
  const signs = [secretEnv, secretFile].filter((one) => one !== undefined).length;
  if (signs > 1) fault([], 'it must hold only one of "secretEnv" and "secretFile"');
  const secret = signs === 1 ? read({ secretEnv, secretFile }) : undefined;
  if (secret !== undefined && Buffer.byteLength(secret) < SHORTEST_SECRET)
    fault([], `the secret must be at least ${SHORTEST_SECRET} characters; make one with openssl rand -hex 32`);
  rest.types?.forEach((type, i) => {
    if (newsTypes.some((known) => globMatcher(type)(known))) return;
    fault(['types', i], `there is no news "${type}"${suggest(type, newsTypes)}`);
  });
  return {
    name: rest.name,
    ...(rest.types ? { types: rest.types } : {}),
    ...(rest.repositories ? { repositories: rest.repositories } : {}),
    ...(rest.environments ? { environments: rest.environments } : {}),
    ...(rest.outcomes ? { outcomes: rest.outcomes } : {}),
    ...(rest.text === undefined ? {} : { text: rest.text }),
    url,
    ...(secret === undefined ? {} : { secret }),
    expiringMilliseconds: expiring,
  };
}

function checkAddress(text: string, fault: (message: string) => void): void {
  const url = URL.parse(text);
  const loopback = url !== null && /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
  if (url?.protocol === 'https:' || (url?.protocol === 'http:' && loopback)) {
    if (url.username || url.password) fault('a user and password do not belong in the address; sign with a secret');
    return;
  }
  fault('it must be an https:// address; http:// only on this machine');
}

/** As it may be shown: an address without what may be secret in it. */
export function withoutNotificationSecrets({ secret, url, ...rest }: NotificationConfig): object {
  return { ...rest, url: URL.parse(url)?.origin ?? '', signed: secret !== undefined };
}
