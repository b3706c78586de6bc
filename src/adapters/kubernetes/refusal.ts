import { isJsonObject, type Json, type JsonObject } from '../../cluster/object.js';
import { CountersignError } from '../../errors.js';

/** What a request is about, for messages. */
export interface Subject {
  /** `Deployment shop/cart`. */
  readonly text: string;
  /** True if the server's words about it may quote its values (invariant 10). */
  readonly secret?: boolean;
}

/** Characters of an API server's message, of what it says of one field, and how many fields are told. */
const MESSAGE = 1_000;
const CAUSE = 240;
const CAUSES = 5;

/** What an API server answers in the place of what it was asked for, as one of our codes: why, what to do, and whether it may end by itself. */
export function refusalOf(cluster: string, subject: Subject, status: number, text: string): CountersignError {
  const body = parse(text);
  const said = describeStatus(body, subject.secret ?? false);
  const about = `cluster ${cluster} refused ${subject.text}`;
  if (status === 409 || status === 410) {
    return new CountersignError('cluster-conflict', `${subject.text} changed meanwhile: ${said}`, { retry: true });
  }
  const fault = status >= 500 ? faultOfObject(text) : null;
  if (!fault && (status === 429 || status >= 500)) {
    return new CountersignError('cluster-unavailable', `${about} for now (${status}): ${said}`, {
      remedy: 'Nothing to do if it recovers: it is tried again',
      retry: true,
    });
  }
  if (status === 404 && !namesAnything(body)) {
    return new CountersignError('kind-unknown', `cluster ${cluster} does not serve the kind of ${subject.text}`, {
      remedy: 'Add its CustomResourceDefinition, or correct apiVersion and kind',
      retry: true,
    });
  }
  const { remedy, passes = false } = fault ?? adviceOn(status, text);
  return new CountersignError('cluster-refused', `${about} (${status}): ${said}`, { remedy, retry: passes });
}

interface Advice {
  readonly remedy: string;
  readonly passes?: boolean;
}

const TOO_LARGE = 'It is larger than the cluster stores, 1.5 MB as a rule: split it, or keep what is large elsewhere';

/** What an API server answers as a fault of its own, and is the object's: it stays so however often it is tried. */
function faultOfObject(text: string): Advice | null {
  if (/etcdserver: request is too large|trying to send message larger than max/.test(text))
    return { remedy: TOO_LARGE };
  if (/failed to create typed patch object/.test(text)) {
    return { remedy: 'Correct the manifest: a field of it is of another type than the kind has' };
  }
  return null;
}

/** What to do about a refusal, and whether it may end by itself. */
function adviceOn(status: number, text: string): Advice {
  if (status === 401) {
    return { remedy: 'Renew the credentials of its kubeconfig: they are unknown, or have expired', passes: true };
  }
  if (/"NamespaceTerminating"/.test(text)) {
    return { remedy: 'Its namespace is being deleted: it is applied when that is made again', passes: true };
  }
  if (/exceeded quota|status unknown for quota/.test(text)) {
    return { remedy: 'Raise the ResourceQuota, or ask for less' };
  }
  if (/admission webhook|ValidatingAdmissionPolicy/.test(text)) {
    return { remedy: "An admission rule of the cluster says no: correct the manifest, or ask that rule's owner" };
  }
  if (status === 403) return { remedy: "Give the kubeconfig's user the right to do this" };
  if (status === 413) return { remedy: TOO_LARGE };
  return { remedy: 'Correct the manifest, or what it needs in the cluster' };
}

/** A 404 that is about the object; one about the path has no details. */
export function isNotFound(text: string): boolean {
  const status = parse(text);
  return isJsonObject(status) && status['reason'] === 'NotFound';
}

/** "The server could not find the requested resource" is about the path; a missing namespace or object has a name. */
function namesAnything(status: Json): boolean {
  const details = isJsonObject(status) ? status['details'] : undefined;
  return isJsonObject(details) && 'name' in details;
}

function describeStatus(status: Json, secret: boolean): string {
  if (!isJsonObject(status)) return 'no explanation';
  // An API server quotes what it finds invalid. For a Secret, the fields alone are told.
  if (secret) return `${textOf(status['reason']) || 'its values are not quoted'}${fieldsOf(status)}`;
  const message = textOf(status['message']) || 'no explanation';
  const causes = causesOf(status);
  const [, beginning] = /^(.*? is invalid: )/s.exec(message) ?? [];
  if (message.length <= CAUSE || beginning === undefined || causes.length === 0) return shortened(message, MESSAGE);
  // It may quote whole objects, and says why only after that.
  const told = causes.slice(0, CAUSES).map((cause) => `${textOf(cause['field'])}: ${shortened(textOf(cause['message']), CAUSE)}`); // prettier-ignore
  const more = causes.length - told.length;
  return `${shortened(beginning, CAUSE)}${told.join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
}

/** Its beginning and its end: the middle is what was quoted. */
function shortened(text: string, most: number): string {
  if (text.length <= most) return text;
  const end = Math.floor(most * 0.6);
  return `${text.slice(0, most - end)} … ${text.slice(-end)}`;
}

function causesOf(status: JsonObject): readonly JsonObject[] {
  const details = status['details'];
  const causes = isJsonObject(details) ? details['causes'] : undefined;
  return Array.isArray(causes) ? (causes as readonly Json[]).filter(isJsonObject) : [];
}

function fieldsOf(status: JsonObject): string {
  const causes = causesOf(status);
  return causes.length === 0 ? '' : ` in ${causes.map((cause) => textOf(cause['field'])).join(', ')}`;
}

const textOf = (value: Json | undefined): string => (typeof value === 'string' ? value : '');

function parse(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return null; // a proxy's page: its status code says enough
  }
}
