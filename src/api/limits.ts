import {
  getNamedType,
  getNullableType,
  isCompositeType,
  isInterfaceType,
  isListType,
  isObjectType,
  Kind,
  OperationTypeNode,
  visit,
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLField,
  type GraphQLNamedType,
  type GraphQLSchema,
  type SelectionSetNode,
} from 'graphql';
import { CountersignError } from '../errors.js';
import { LONGEST_PAGE, PAGE } from './connection.js';

export const limits = {
  /** Fields within fields. */
  depth: 15,
  /** Fields that the answer may hold, by the page lengths asked for. */
  cost: 100_000,
  /** Words of the query text, so that parsing ends early. */
  tokens: 2_000,
  /** Queries kept parsed and compiled; each may take half a megabyte, and refused ones are kept, too. */
  kept: 100,
  /** Bytes of a request. */
  body: 64 * 1024,
} as const;

/** How many items a list without pages is taken to have. */
const ASSUMED = 5;
/** Hashing and reading tiles, or reading the leaf itself. */
const DEAR: Readonly<Record<string, number>> = {
  inclusion: 25,
  consistency: 25,
  envelope: 2,
  totalCount: 100,
  decisionCounts: 1000,
  driftCounts: 1000,
  delivery: 1000,
  pastState: 100,
  entry: 2,
  // It may render two environments and judge the difference.
  promotion: 500,
};

/** Over HTTP there is one answer. */
export function refuseSubscription({ definitions }: DocumentNode): void {
  if (
    !definitions.some(
      (one) => one.kind === Kind.OPERATION_DEFINITION && one.operation === OperationTypeNode.SUBSCRIPTION,
    )
  )
    return;
  throw new CountersignError('query-invalid', 'a subscription takes a WebSocket', {
    remedy: 'Ask at the same address by graphql-transport-ws',
  });
}

type Variables = Readonly<Record<string, unknown>>;
interface Size {
  readonly cost: number;
  readonly depth: number;
}

/** Refuses what would cost too much before any of it is run. Throws `query-limit`, `query-invalid`. */
export function checkLimits(schema: GraphQLSchema, document: DocumentNode, variables: Variables): void {
  const operations = document.definitions.filter((definition) => definition.kind === Kind.OPERATION_DEFINITION);
  // Compiled queries are kept by their text alone: a second operation in it could be answered with the first one's result.
  if (operations.length !== 1) throw new CountersignError('query-invalid', 'a request holds exactly one operation');
  refuseUnstorable(document, variables);
  const fragments = new Map(
    document.definitions
      .filter((definition) => definition.kind === Kind.FRAGMENT_DEFINITION)
      .map((fragment) => [fragment.name.value, fragment]),
  );
  const root = schema.getRootType(operations[0].operation);
  const { cost, depth } = new Measure(schema, fragments, variables).of(operations[0].selectionSet, root ?? undefined);
  if (depth > limits.depth) {
    throw new CountersignError('query-limit', `the query is ${depth} fields deep; ${limits.depth} are allowed`, {
      remedy: 'Ask in several queries',
    });
  }
  if (cost > limits.cost) {
    const figures = `up to ${cost.toLocaleString('en')} fields; ${limits.cost.toLocaleString('en')} are allowed`;
    throw new CountersignError('query-limit', `the answer could hold ${figures}`, {
      remedy: 'Ask for shorter pages ("first"), or for fewer fields',
    });
  }
}

/** Mercurius would take a document's JSON form, too, unchecked; GraphQL's own text never reads as JSON. */
export function refuseForeignText(source: string): void {
  const begin = source.trimStart().slice(0, 20);
  if (/^\{\s*"|^[["\d-]|^(null|true|false)\s*$/.test(begin)) {
    throw new CountersignError('query-invalid', 'the query is JSON, not GraphQL', {
      remedy: 'Send {"query": "{ repositories { name } }"} with content-type application/json',
    });
  }
}

class Measure {
  readonly #fragments = new Map<string, Size>();

  constructor(
    private readonly schema: GraphQLSchema,
    private readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>,
    private readonly variables: Variables,
  ) {}

  of({ selections }: SelectionSetNode, type: GraphQLNamedType | undefined): Size {
    let [cost, depth] = [0, 0];
    for (const selection of selections) {
      const size =
        selection.kind === Kind.FIELD
          ? this.#field(selection, type)
          : selection.kind === Kind.INLINE_FRAGMENT
            ? this.of(selection.selectionSet, type)
            : this.#fragment(selection.name.value);
      cost += size.cost;
      depth = Math.max(depth, size.depth);
    }
    return { cost, depth };
  }

  #field(node: FieldNode, type: GraphQLNamedType | undefined): Size {
    const name = node.name.value;
    // Introspection is of bounded size, and its depth is limited by a rule of its own.
    if (name.startsWith('__')) return { cost: 1, depth: 1 };
    const field = isObjectType(type) || isInterfaceType(type) ? type.getFields()[name] : undefined;
    const own = DEAR[name] ?? 1;
    if (!node.selectionSet || !field) return { cost: own, depth: 1 };
    const inner = this.of(node.selectionSet, getNamedType(field.type));
    return { cost: own + inner.cost * this.#items(node, field), depth: 1 + inner.depth };
  }

  #items(node: FieldNode, field: GraphQLField<unknown, unknown>): number {
    if (field.args.some((argument) => argument.name === 'first')) return this.#pageLength(node);
    // A page's edges and nodes were counted with the page.
    const page = field.name === 'edges' || field.name === 'nodes';
    return !page && isListType(getNullableType(field.type)) && isCompositeType(getNamedType(field.type)) ? ASSUMED : 1;
  }

  #pageLength(node: FieldNode): number {
    const value = node.arguments?.find((argument) => argument.name.value === 'first')?.value;
    const first =
      value?.kind === Kind.INT
        ? Number(value.value)
        : value?.kind === Kind.VARIABLE
          ? this.variables[value.name.value]
          : null;
    // An absent variable may have a default of its own, so it counts as the longest page.
    if (value?.kind === Kind.VARIABLE && first === undefined) return LONGEST_PAGE;
    return Math.min(LONGEST_PAGE, Math.max(1, typeof first === 'number' ? first : PAGE));
  }

  /** Once for each fragment: a fragment that spreads another twice, and so on, must not be walked 2^n times. */
  #fragment(name: string): Size {
    let size = this.#fragments.get(name);
    const fragment = this.fragments.get(name);
    if (!size && fragment) {
      size = this.of(fragment.selectionSet, this.schema.getType(fragment.typeCondition.name.value));
      this.#fragments.set(name, size);
    }
    return size ?? { cost: 0, depth: 0 };
  }
}

/** PostgreSQL has neither NUL nor half characters in text. */
function refuseUnstorable(document: DocumentNode, variables: Variables): void {
  let sound = isStorable(variables);
  visit(document, { StringValue: (node) => void (sound &&= isStorable(node.value)) });
  if (sound) return;
  throw new CountersignError('query-invalid', 'a text in the query holds a NUL or half of a surrogate pair');
}

function isStorable(value: unknown): boolean {
  if (typeof value === 'string') return !value.includes('\0') && value.isWellFormed();
  return typeof value !== 'object' || value === null || Object.values(value).every(isStorable);
}
