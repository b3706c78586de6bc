import { readFileSync } from 'node:fs';
import { signCheckpoint } from '../../src/audit/checkpoint.js';
import { ed25519Signer, sha256, toHex, utf8 } from '../../src/audit/crypto.js';
import type { Inclusion } from '../../src/audit/ledger.js';
import { leafHash, proveInclusion, rootOf, type NodeReader } from '../../src/audit/merkle.js';
import { noteSigner, parseVkey } from '../../src/audit/note.js';
import { trustIn } from '../../src/audit/policy-file.js';
import { entryOf, sealStatement, type SealedStatement } from '../../src/audit/statement.js';
import type { Environment } from '../../src/change/environment.js';
import { identityOf, type JsonObject, type KubernetesObject, type ManifestObject } from '../../src/cluster/object.js';
import { renderedDigest } from '../../src/cluster/rendered.js';
import { Redactor } from '../../src/cluster/secret.js';
import { approve, type ApprovalClaim, type ApprovedChange, type GateFacts } from '../../src/reconcile/gate.js';
import type { Drift, RunEnd, RunLog, RunStart } from '../../src/reconcile/run-log.js';

const signer = noteSigner('log.example.org', ed25519Signer(sha256(utf8('approvals log'))));
const entryKey = ed25519Signer(sha256(utf8('approvals entries')));

export const redactor = new Redactor(Buffer.alloc(32, 7), 'test');
export const bundleInForce = 'b'.repeat(64);

export function environmentNamed(name: string, namespace: string): Environment {
  return { name, path: name, ref: 'refs/heads/main', target: 'prod', namespace, labels: {}, ignore: [] };
}

export function manifests(objects: readonly object[]): ManifestObject[] {
  return (objects as KubernetesObject[]).map((object, i) => ({
    identity: identityOf(object),
    object,
    source: { path: `${object.kind.toLowerCase()}.yaml`, line: i + 1 },
  }));
}

/** A signed log of decisions in memory: real leaves, real tree, real signatures. */
export class DecisionLog {
  readonly trust = trustIn(parseVkey(signer.vkey));
  readonly #leaves: Promise<SealedStatement>[] = [];

  get size(): number {
    return this.#leaves.length;
  }

  decide(predicate: JsonObject, type: 'decision' | 'push' = 'decision'): number {
    const subjects = [{ name: 'git:shop', digest: { gitCommit: 'a'.repeat(40) } }];
    this.#leaves.push(sealStatement({ type, subjects, predicate }, '2026-11-21T02:00:00.000Z', {}, entryKey));
    return this.size - 1;
  }

  async inclusion(index: number): Promise<Inclusion> {
    const leaves = (await Promise.all(this.#leaves)).map(({ leaf }) => leaf);
    const hashes = leaves.map(leafHash);
    const read: NodeReader = (nodes) =>
      Promise.resolve(
        nodes.map(({ level, index: at }) => rootOf(hashes.slice(at * 2 ** level, (at + 1) * 2 ** level))),
      );
    const proof = (await proveInclusion(index, this.size, read)).map(toHex);
    const checkpoint = await signCheckpoint(
      { origin: 'log.example.org', size: this.size, root: rootOf(hashes) },
      signer,
    );
    return { entry: entryOf(index, leaves[index]), checkpoint, treeSize: this.size, proof };
  }

  facts(newestAllow = this.size - 1): GateFacts {
    return { trust: this.trust, redactor, bundleInForce, governedSince: -1, newestAllow };
  }

  /** What the follower does for an allowed push: decides, logs, and claims. */
  async claim(
    environment: Environment,
    head: string,
    objects: readonly object[],
    approvals: readonly string[] = [],
  ): Promise<ApprovalClaim> {
    const rendered = manifests(objects);
    const index = this.decide({
      id: `decision-${this.size}`,
      outcome: 'allow',
      repository: 'shop',
      environment: environment.name,
      target: environment.target,
      head,
      bundleDigest: bundleInForce,
      renderedDigest: renderedDigest(rendered, redactor),
      approvals,
    });
    return {
      repository: 'shop',
      environment,
      head,
      objects: rendered,
      inclusion: await this.inclusion(index),
      purpose: 'deploy',
    };
  }

  async approved(
    environment: Environment,
    head: string,
    objects: readonly object[],
    approvals: readonly string[] = [],
  ): Promise<ApprovedChange> {
    const claim = await this.claim(environment, head, objects, approvals);
    return approve(claim, this.facts());
  }
}

/** The record of runs in memory, in the order in which it was told, with the moment; `fail` makes it refuse like a lost database. */
export class RunRecorder implements RunLog {
  readonly runs: {
    readonly run: RunStart;
    readonly drifts: readonly Drift[];
    readonly at: number;
    end: RunEnd | null;
  }[] = [];
  fail: Error | null = null;
  /** Called between the request to record a start and its being durable. */
  beforeStart: (run: RunStart) => Promise<void> | void = () => {};

  get drifts(): Drift[] {
    return this.runs.flatMap(({ drifts }) => drifts);
  }

  async started(run: RunStart, drifts: readonly Drift[]): Promise<void> {
    await this.beforeStart(run);
    if (this.fail) throw this.fail;
    this.runs.push({ run, drifts, at: Date.now(), end: null });
  }

  async finished(run: RunStart, end: RunEnd): Promise<void> {
    if (this.fail) throw this.fail;
    const open = this.runs.find((one) => one.run.id === run.id);
    if (open) open.end = end;
  }
}

export interface ApiAuditEvent {
  readonly verb: string;
  readonly requestURI: string;
  readonly user: { readonly username: string };
  readonly userAgent?: string;
  readonly impersonatedUser?: { readonly username: string };
  readonly objectRef?: { readonly resource: string; readonly namespace?: string; readonly name?: string };
  readonly responseStatus?: { readonly code: number };
  readonly requestReceivedTimestamp: string;
  readonly stageTimestamp: string;
}

/** An API server that was killed in the middle of a line goes on in the same one when it is back. */
function eventOf(line: string): ApiAuditEvent | null {
  for (let from = 0; from >= 0; from = line.indexOf('{"kind":"Event"', from + 1)) {
    try {
      return JSON.parse(line.slice(from)) as ApiAuditEvent;
    } catch {
      continue;
    }
  }
  return null;
}

/** Write requests of one user in an API server's audit log; questions (dry runs) are none. */
export function writesIn(auditLog: string, user: string): ApiAuditEvent[] {
  return readFileSync(auditLog, 'utf8')
    .split('\n')
    .slice(0, -1) // what is written right now
    .flatMap((line) => eventOf(line) ?? [])
    .filter((event) => event.user.username === user && !event.requestURI.includes('dryRun=All'));
}
