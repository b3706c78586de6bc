import type { Json } from '../cluster/object.js';
import { sentenceOf, type News } from './news.js';

/** CloudEvents 1.0, structured mode, as JSON. `repository`, `environment` and `outcome` are extension attributes, to route by. */
export function cloudEvent(news: News, origin: string): { readonly [attribute: string]: Json } {
  const { id, type, time, repository, environment, outcome, data } = news;
  const subject = [repository, environment].filter((one) => one !== null).join('/');
  return {
    specversion: '1.0',
    id,
    // The log's name: together with the id no two events are the same.
    source: `//${encodeURI(origin)}`,
    type: `dev.countersign.${type}`,
    time,
    ...(subject ? { subject } : {}),
    ...(repository === null ? {} : { repository }),
    ...(environment === null ? {} : { environment }),
    ...(outcome === null ? {} : { outcome }),
    datacontenttype: 'application/json',
    data: { ...data, summary: sentenceOf(news) },
  };
}

// What comes from elsewhere is text there, and calls nobody: Slack's own marks are escaped.
const plain = (value: string): string => value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** What a chat takes: `{"text": …}`, of a template with {type}, {repository}, {environment}, {outcome}, {time}, {index} and {summary}. */
export function chatMessage(news: News, template: string): { readonly text: string } {
  const known: Readonly<Record<string, string>> = {
    type: news.type,
    repository: news.repository ?? '',
    environment: news.environment ?? '',
    outcome: news.outcome ?? '',
    time: news.time,
    index: news.index === null ? '' : String(news.index),
    summary: sentenceOf(news),
  };
  return {
    text: template.replace(/\{(\w+)\}/g, (whole, name: string) => (name in known ? plain(known[name]) : whole)),
  };
}
