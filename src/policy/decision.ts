import type { ObjectIdentity, Source } from '../cluster/object.js';
import type { Place } from '../errors.js';
import type { InputException } from './input.js';

export type Outcome = 'allow' | 'deny' | 'pending' | 'error';
export type Severity = 'critical' | 'high' | 'medium' | 'low' | 'info';

/** What is known of a rule before it runs, from its METADATA. */
export interface Rule {
  /** `custom.id`, else package and rule name. */
  readonly id: string;
  readonly package: string;
  readonly name: string;
  readonly kind: 'deny' | 'warn' | 'require';
  readonly scope: 'change' | 'object';
  readonly title?: string;
  readonly description?: string;
  readonly severity: Severity;
  /** For example `SOC2:CC8.1`. */
  readonly controls: readonly string[];
  readonly place: Place;
  /** True for rules that ship with Countersign. */
  readonly starter: boolean;
  /** True for the organisation's own rules and for starter rules that it wants everywhere. */
  readonly organisation?: boolean;
}

/** One result of one rule. `deny` ones deny, `warn` ones only tell, `require` ones name approvals still needed. */
export interface Violation {
  readonly rule: string;
  readonly kind: 'deny' | 'warn' | 'require';
  readonly message: string;
  readonly severity: Severity;
  readonly controls: readonly string[];
  /** Where the rule is written. */
  readonly place: Place;
  readonly object?: ObjectIdentity;
  /** Where the object is written. */
  readonly source?: Source;
  readonly commit?: string;
  /** How to mend it, if the rule says. */
  readonly fix?: string;
  /** The exception that covers it: it does not count. */
  readonly exception?: string;
  /** Any further fields the rule's result object had. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** The judgement of one proposed change under one policy bundle. */
export interface Decision {
  readonly outcome: Outcome;
  readonly violations: readonly Violation[];
  readonly warnings: readonly Violation[];
  readonly required: readonly Violation[];
  /** What rules said that does not count, each naming its exception; and those exceptions. */
  readonly excepted: readonly Violation[];
  readonly exceptions: readonly InputException[];
  /** How many rules ran, and how many of them said nothing. */
  readonly rulesRun: number;
  readonly rulesPassed: number;
  /** For outcome `error`: why it could not be judged. Never acted on (invariant 7). */
  readonly error?: {
    readonly code: string;
    readonly message: string;
    readonly place?: Place;
    readonly remedy?: string;
  };
  readonly bundleDigest: string;
  readonly wasmDigest: string;
  /** SHA-256, hex, over the canonical JSON of the input and of the result. */
  readonly inputDigest: string;
  readonly resultDigest: string;
}
