import type { ListName } from '../report/queries.js';
import type { ObjectIdentity } from '../cluster/object.js';
import type { Connection } from './connection.js';
import { dateTime, json, long } from './scalars.js';

const self = <T>(parent: T): T => parent;
const totalCount = (connection: Connection<unknown>): Promise<number> | number => connection.count();
const connections: readonly (Capitalize<ListName> | 'ObjectChange' | 'Entry')[] = [
  'Environment',
  'Push',
  'Commit',
  'Change',
  'ObjectChange',
  'Decision',
  'LiveObject',
  'Run',
  'Drift',
  'Fault',
  'Advice',
  'Approval',
  'Exception',
  'ReviewDuty',
  'Entry',
];

/** What needs no class: scalars, and fields that only present what the row beside them holds. */
export const plainResolvers = {
  DateTime: dateTime,
  JSON: json,
  Long: long,
  ObjectIdentity: {
    apiVersion: ({ group, version }: ObjectIdentity): string => (group ? `${group}/${version}` : version),
  },
  // Rows hold an object's identity, and where it is written, in columns of their own.
  ObjectChange: { object: self, source: self },
  LiveObject: { object: self, source: self },
  Drift: { object: self },
  ...Object.fromEntries(connections.map((name) => [`${name}Connection`, { totalCount }])),
};
