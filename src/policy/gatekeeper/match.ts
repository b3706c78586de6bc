import { isJsonObject, type Json, type JsonObject } from '../../cluster/object.js';
import { suggest } from '../../settings.js';
import { fault, type Fault, Faulty, type PolicyDocument } from './document.js';

/** Which objects a constraint is about; what is not given does not narrow it. */
export interface Match {
  readonly kinds: readonly { readonly apiGroups: readonly string[]; readonly kinds: readonly string[] }[];
  readonly namespaces: readonly string[];
  readonly excludedNamespaces: readonly string[];
  readonly labelSelector?: JsonObject;
  readonly namespaceSelector?: JsonObject;
  readonly scope?: 'Cluster' | 'Namespaced';
  readonly name?: string;
  readonly source: 'All' | 'Original' | 'Generated';
}

const FIELDS = ['kinds', 'namespaces', 'excludedNamespaces', 'labelSelector', 'namespaceSelector', 'scope', 'name', 'source'] as const; // prettier-ignore
const PATH = ['spec', 'match'];
const OPERATORS = ['In', 'NotIn', 'Exists', 'DoesNotExist'];

/** Reads `spec.match`. A field that is not known would have no effect, so it is a fault. Throws Faulty that names every fault. */
export function readMatch(document: PolicyDocument, match: Json | undefined): Match {
  if (match === undefined || match === null)
    return { kinds: [], namespaces: [], excludedNamespaces: [], source: 'All' };
  if (!isJsonObject(match))
    throw fault(document.placeOf(PATH), 'spec.match is no mapping', 'Write kinds: and its kin below it');
  const reader = new MatchReader(document, match);
  const read = reader.read();
  if (reader.faults.length > 0) throw new Faulty(reader.faults);
  return read;
}

class MatchReader {
  readonly faults: Fault[] = [];

  constructor(
    private readonly document: PolicyDocument,
    private readonly match: JsonObject,
  ) {}

  read(): Match {
    for (const field of Object.keys(this.match)) {
      if ((FIELDS as readonly string[]).includes(field)) continue;
      this.say(
        [field],
        `spec.match has no field ${field}${suggest(field, FIELDS) || ` (there are ${FIELDS.join(', ')})`}`,
      );
    }
    const { labelSelector, namespaceSelector } = this.match;
    const name = this.text('name');
    return {
      kinds: this.kinds(),
      namespaces: this.texts(['namespaces'], this.match.namespaces),
      excludedNamespaces: this.texts(['excludedNamespaces'], this.match.excludedNamespaces),
      ...(isGiven(labelSelector) ? { labelSelector: this.selector('labelSelector', labelSelector) } : {}),
      ...(isGiven(namespaceSelector)
        ? { namespaceSelector: this.selector('namespaceSelector', namespaceSelector) }
        : {}),
      ...this.scope(),
      ...(name ? { name } : {}),
      source: this.source(),
    };
  }

  private kinds(): Match['kinds'] {
    const { kinds } = this.match;
    if (!isGiven(kinds)) return [];
    if (!Array.isArray(kinds)) return (this.say(['kinds'], 'spec.match.kinds is no list'), []);
    return (kinds as readonly Json[]).map((entry, i) => {
      if (!isJsonObject(entry)) {
        this.say(['kinds', i], 'an entry of spec.match.kinds is no mapping');
        return { apiGroups: [], kinds: [] };
      }
      for (const key of Object.keys(entry)) {
        if (key === 'apiGroups' || key === 'kinds') continue;
        this.say(['kinds', i, key], `spec.match.kinds has no field ${key}${suggest(key, ['apiGroups', 'kinds'])}`);
      }
      return {
        apiGroups: this.texts(['kinds', i, 'apiGroups'], entry.apiGroups),
        kinds: this.texts(['kinds', i, 'kinds'], entry.kinds),
      };
    });
  }

  private texts(path: readonly PropertyKey[], value: Json | undefined): readonly string[] {
    if (!isGiven(value)) return [];
    if (Array.isArray(value) && value.every((one) => typeof one === 'string')) return value;
    this.say(path, `spec.match.${path.join('.')} is no list of texts`);
    return [];
  }

  private text(field: 'name' | 'scope' | 'source'): string {
    const value = this.match[field];
    if (!isGiven(value)) return '';
    if (typeof value === 'string') return value;
    this.say([field], `spec.match.${field} is no text`);
    return '';
  }

  private scope(): Pick<Match, 'scope'> {
    const scope = this.text('scope');
    if (scope === 'Cluster' || scope === 'Namespaced') return { scope };
    if (scope !== '' && scope !== '*')
      this.say(['scope'], `spec.match.scope ${scope} is none of Cluster, Namespaced, "*"`);
    return {};
  }

  private source(): Match['source'] {
    const source = this.text('source') || 'All';
    if (source === 'All' || source === 'Original' || source === 'Generated') return source;
    this.say(['source'], `spec.match.source ${source} is none of All, Original, Generated`);
    return 'All';
  }

  private selector(field: 'labelSelector' | 'namespaceSelector', value: Json): JsonObject {
    const where = `spec.match.${field}`;
    if (!isJsonObject(value)) return (this.say([field], `${where} is no mapping`), {});
    for (const key of Object.keys(value)) {
      if (key === 'matchLabels' || key === 'matchExpressions') continue;
      this.say([field, key], `${where} has no field ${key}${suggest(key, ['matchLabels', 'matchExpressions'])}`);
    }
    const { matchLabels = {}, matchExpressions = [] } = value;
    if (!isJsonObject(matchLabels) || Object.values(matchLabels).some((label) => typeof label !== 'string')) {
      this.say([field, 'matchLabels'], `${where}.matchLabels is no mapping of texts`);
    }
    if (!Array.isArray(matchExpressions)) this.say([field, 'matchExpressions'], `${where}.matchExpressions is no list`);
    else
      (matchExpressions as readonly Json[]).forEach((one, i) => this.expression([field, 'matchExpressions', i], one));
    return value;
  }

  private expression(path: readonly PropertyKey[], value: Json): void {
    const { key, operator, values = [], ...more } = isJsonObject(value) ? value : ({} as JsonObject);
    if (typeof key !== 'string' || typeof operator !== 'string' || !OPERATORS.includes(operator)) {
      this.say(path, `a selector's expression needs a key, and an operator of ${OPERATORS.join(', ')}`);
    } else if (!Array.isArray(values) || values.some((one) => typeof one !== 'string')) {
      this.say(path, `the values of a selector's expression are no list of texts`);
    } else if ((values.length === 0) === (operator === 'In' || operator === 'NotIn')) {
      this.say(
        path,
        `a selector's expression with ${operator} must have ${values.length === 0 ? 'values' : 'no values'}`,
      );
    }
    for (const name of Object.keys(more)) this.say([...path, name], `a selector's expression has no field ${name}`);
  }

  private say(path: readonly PropertyKey[], message: string): void {
    this.faults.push({ place: this.document.placeOf([...PATH, ...path]), message, remedy: 'Correct spec.match' });
  }
}

const isGiven = (value: Json | undefined): value is Exclude<Json, null> => value !== undefined && value !== null;
