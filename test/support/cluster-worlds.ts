import { startControlPlane, type ControlPlane } from '../../src/adapters/kubernetes/control-plane.js';
import type { Environment } from '../../src/change/environment.js';
import type { ReconcileSettings } from '../../src/change/reconcile-settings.js';
import type { ApprovedChange } from '../../src/reconcile/gate.js';
import { DecisionLog, environmentNamed, writesIn, type ApiAuditEvent } from './approvals.js';
import { namespace, Person, World } from './cluster.js';

type Approving = (head: string, objects: readonly object[], approvals?: readonly string[]) => Promise<ApprovedChange>;

export interface OpenWorld {
  readonly world: World;
  /** Also the environment's name. */
  readonly ns: string;
  /** Approves a commit (of which a letter is given) that holds these objects and the namespace, and hands it over. */
  readonly begin: Approving;
  /** As `begin`; resolves when nothing is left to do. */
  readonly apply: Approving;
}

export type OpenOptions = Parameters<typeof World.open>[2] & {
  readonly ns?: string;
  readonly reconcile?: ReconcileSettings;
};

export interface ClusterWorlds {
  readonly plane: ControlPlane;
  readonly dana: Person;
  readonly decisions: DecisionLog;
  /** A reconciler for a new namespace, closed after the test. */
  readonly open: (options?: OpenOptions) => Promise<OpenWorld>;
  /** Answered writes so far, by the API server's own audit log; of one namespace if it is given. */
  writes(ns?: string, user?: string): ApiAuditEvent[];
}

/** One real API server for the tests of a `describe`, and a namespace, environment and reconciler for each that asks. */
export function clusterWorlds(
  prefix: string,
  options: NonNullable<Parameters<typeof startControlPlane>[0]> | (() => Promise<object>) = {},
): ClusterWorlds {
  const made: { plane?: ControlPlane; dana?: Person } = {};
  const decisions = new DecisionLog();
  const worlds: World[] = [];
  let count = 0;

  beforeAll(async () => {
    made.plane = await startControlPlane(typeof options === 'function' ? await options() : options);
    made.dana = new Person(made.plane, 'dana');
  }, 120_000);

  afterAll(async () => {
    await made.dana?.close();
    await made.plane?.stop();
  });

  afterEach(async () => {
    for (const world of worlds.splice(0)) await world.close();
  });

  return {
    get plane() {
      return made.plane!;
    },
    get dana() {
      return made.dana!;
    },
    decisions,
    open: async ({ reconcile, ns = `${prefix}-${++count}`, ...rest } = {}) => {
      const world = await World.open(made.plane!, ns, rest);
      worlds.push(world);
      const environment: Environment = { ...environmentNamed(ns, ns), ...(reconcile ? { reconcile } : {}) };
      const begin: OpenWorld['begin'] = async (head, objects, approvals) => {
        const change = await decisions.approved(environment, head.repeat(40), [namespace(ns), ...objects], approvals);
        world.reconciler.approve(change);
        return change;
      };
      const apply: OpenWorld['apply'] = async (...args) => {
        const change = await begin(...args);
        await world.reconciler.settled();
        return change;
      };
      return { world, ns, begin, apply };
    },
    writes: (ns, user = 'countersign') =>
      writesIn(made.plane!.auditLog, user).filter(({ objectRef }) => ns === undefined || objectRef?.namespace === ns),
  };
}
