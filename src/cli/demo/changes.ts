import { writeFile } from 'node:fs/promises';
import { decisionLine, count } from './decisions.js';
import { expectThat, until } from './failure.js';
import { compareInventory, deploymentOf, imageOf, readLive, tellHeldBack, whenLive } from './live.js';
import { catchUp, commitAndPush, type Member, type Pushed } from './people.js';
import { runCountersign } from './program.js';
import { readEnvironment, readJudged, readObjects, short, suggestQuery, type ReadDecision } from './reads.js';
import { configMap, deployment, deploymentPath, image, stages, type Service } from './team-files.js';
import type { TeamRepository } from './team-repository.js';
import type { Line, Narrator } from './narrator.js';
import type { World } from './world.js';

// Chapters about Git: what is pushed, what is decided, and what of it goes live.

/** Before anything is pushed: a developer asks. Needs neither service nor cluster. */
export async function askBeforePushing(narrator: Narrator, { team }: TeamRepository): Promise<void> {
  const { bo } = team;
  await catchUp(bo);
  await bo.clone.checkout('faster-cart', 'main');
  await bo.clone.commit({
    author: bo,
    message: 'Try the new cart',
    files: {
      [deploymentPath('production', 'cart')]: deployment('cart', {
        image: 'registry.example.org/shop/cart:latest',
        replicas: 2,
      }),
    },
  });
  const args = ['check', '--base', 'main', '--head', 'faster-cart', '--env', 'shop/production'];
  narrator.waiting('countersign check');
  const { code, stdout, stderr, milliseconds } = await runCountersign(args, bo.clone.path);
  narrator.quote(`countersign ${args.join(' ')}`, stdout || stderr);
  expectThat(code === 1, `check ended with exit code ${code}, not 1 (denied)\n${stderr}`);
  expectThat(/cart\/deployment\.yaml:\d+/.test(stdout), 'check names no file and line');
  narrator.line({
    mark: 'no',
    word: 'denied',
    text: `exit code ${code} after ${milliseconds} ms; nothing left Bo's machine`,
  });
  await bo.clone.checkout('main');
}

/** The first sight of the repository: trust starts at the commit that the service was told, everything after it is judged. */
export async function startFollowing(world: World): Promise<void> {
  const { narrator } = world;
  const { repository } = await until(
    'the repository to be read',
    async () => {
      const answer = await world.graphql.query<{
        repository: {
          state: string;
          governanceCommit: string | null;
          tips: { ref: string; commit: string }[];
          trouble: { message: string } | null;
        } | null;
      }>('{ repository(name: "shop") { state governanceCommit tips { ref commit } trouble { message } } }');
      const { repository } = answer;
      return repository?.state === 'ok' && repository.governanceCommit !== null ? { repository } : null;
    },
    { givenUp: () => world.ended(), atMost: 60_000 },
  );
  // The record and its entry are one transaction, but the entry can be read only once a checkpoint covers it.
  const genesis = await until('the genesis entry', async () => {
    const { entries } = await world.graphql.query<{
      entries: { nodes: { index: number; predicate: { commit?: string } }[] };
    }>('{ entries(first: 1, filter: { type: [genesis] }) { nodes { index predicate } } }');
    return entries.nodes[0];
  });
  expectThat(
    genesis.predicate.commit === world.repository.genesis,
    `the genesis entry names ${genesis.predicate.commit}`,
  );
  narrator.line({
    mark: 'fact',
    word: 'trust',
    text: `starts at commit ${short(genesis.predicate.commit ?? '')}, as the service's configuration says: entry ${genesis.index} of the log`,
  });
  const tip = repository.tips.find(({ ref }) => ref === 'refs/heads/main')?.commit ?? '';
  for (const stage of stages) {
    const { headDecision } = await readJudged(world, stage, tip);
    expectAllowed(headDecision);
    narrator.line(decisionLine(`shop/${stage}`, headDecision));
  }
  const checkpoint = await world.graphql.get('/log/checkpoint');
  expectThat(checkpoint.status === 200, `the log's checkpoint answers ${checkpoint.status}`);
  await writeFile(world.workspace.checkpoint, checkpoint.text);
  narrator.line({
    mark: 'fact',
    word: 'checkpoint',
    text: `of ${checkpoint.text.split('\n')[1]} entries, root ${checkpoint.text.split('\n')[2].slice(0, 12)}…: an auditor keeps it, to see later that nothing was taken back`,
  });
  await suggestQuery(world, '{ environments { nodes { name approved headOutcome status } } }');
}

/** What is approved so far goes live for the first time. */
export async function goLive(world: World): Promise<void> {
  const { narrator } = world;
  for (const stage of stages) {
    narrator.waiting(`shop/${stage} going live`);
    const environment = await readEnvironment(world, stage);
    const wanted = environment.approved;
    await until(
      `everything of shop/${stage} to be live`,
      async () => {
        const { runs } = await world.graphql.query<{
          runs: { nodes: { outcome: string; finishedIndex: number | null; trouble: { message: string } | null }[] };
        }>(
          `query ($name: String!) { runs(first: 1, filter: { repository: "shop", environment: $name }) {
            nodes { outcome finishedIndex trouble { message } } } }`,
          { name: `shop/${stage}` },
        );
        const run = runs.nodes[0];
        if (run?.outcome === 'failed') expectThat(false, `the run failed: ${run.trouble?.message}`);
        return run?.outcome === 'succeeded' && run.finishedIndex !== null ? run : null;
      },
      { givenUp: () => world.ended(), atMost: 60_000 },
    );
    const objects = await readObjects(world, stage);
    const kinds = new Set(objects.map(({ object }) => object.kind));
    expectThat(kinds.size >= 7, `only ${[...kinds].join(', ')} went live`);
    narrator.line({
      mark: 'yes',
      word: 'live',
      text: `shop/${stage} at ${short(wanted ?? '')}: ${count(objects.length, 'object')} of ${kinds.size} kinds in namespace ${world.namespaces[stage]}`,
    });
  }
  const compared = await compareInventory(world);
  narrator.line({
    mark: 'fact',
    word: 'compared',
    text: `${count(compared, 'live object')} read from the cluster: each names the commit and the logged allow it came from`,
  });
  const objects = await readObjects(world, 'production');
  const cart = objects.find(({ object }) => object.kind === 'Deployment' && object.name === 'cart');
  if (cart && cart.health !== 'healthy') {
    narrator.line({
      mark: 'fact',
      word: 'health',
      text: `Deployment ${cart.object.namespace}/cart is ${cart.health}: ${cart.healthReason}`,
    });
  }
}

/** A change that policy allows goes live. */
export async function allowedChange(world: World, service: Service, version: string): Promise<void> {
  const { ann } = world.repository.team;
  const wanted = image(service, version);
  const pushed = await tellPush(world, ann, () =>
    commitAndPush(ann, {
      message: `Roll out ${service} ${version}`,
      files: { [deploymentPath('production', service)]: deployment(service, { image: wanted, replicas: 2 }) },
    }),
  );
  const live = whenLive(world, 'production', service, pushed, wanted);
  const { headDecision } = await readJudged(world, 'production', pushed.commit);
  expectAllowed(headDecision);
  world.narrator.line(decisionLine('shop/production', headDecision));
  await tell(world, live);
}

/** Everybody rolls something out, one after the other; only what came of it is told. */
export async function rolloutsOf(world: World, version: string): Promise<void> {
  const { ann, bo, carol } = world.repository.team;
  for (const [member, service] of [
    [bo, 'catalog'],
    [carol, 'payment'],
    [ann, 'web'],
  ] as const) {
    const wanted = image(service, version);
    const pushed = await commitAndPush(member, {
      message: `Roll out ${service} ${version}`,
      files: { [deploymentPath('production', service)]: deployment(service, { image: wanted, replicas: 2 }) },
    });
    const live = whenLive(world, 'production', service, pushed, wanted);
    const { headDecision } = await readJudged(world, 'production', pushed.commit);
    expectAllowed(headDecision);
    world.narrator.line({ ...decisionLine('shop/production', headDecision), below: [] });
    await tell(world, live);
  }
}

/** A change that policy denies is held back, and then mended. */
export async function deniedThenFixed(world: World, service: Service, version: string): Promise<void> {
  const { bo } = world.repository.team;
  const { narrator } = world;
  const path = deploymentPath('production', service);
  const before = await readEnvironment(world, 'production');
  const runningImage = world.cluster ? imageOf(await readLive(world, deploymentOf(world, 'production', service))) : '';
  const denied = await tellPush(world, bo, () =>
    commitAndPush(bo, {
      message: `Debug ${service} in production`,
      files: {
        [path]: deployment(service, { image: `docker.io/library/${service}:latest`, replicas: 1, privileged: true }),
      },
    }),
  );
  const judged = await readJudged(world, 'production', denied.commit);
  const { headDecision, approved } = judged;
  narrator.line(decisionLine('shop/production', headDecision));
  expectThat(
    headDecision.outcome === 'deny',
    `an unpinned, privileged image was not denied but: ${headDecision.outcome}`,
  );
  const rules = new Set(headDecision.violations.map(({ rule }) => rule));
  for (const rule of ['images.pinned', 'images.registries', 'workload.privileged', 'shop.replicas']) {
    expectThat(rules.has(rule), `${rule} did not deny it, only ${[...rules].join(', ')} did`);
  }
  expectThat(
    headDecision.violations.some(({ source }) => source?.path === path && source.line > 0),
    'no violation names file and line',
  );
  await tellHeldBack(world, 'production', service, {
    image: runningImage,
    approved: before.approved,
    answered: approved,
  });
  await suggestQuery(
    world,
    `{ decision(id: "${headDecision.id}") { violations { rule message fix } entry { index envelope inclusion { proof } } } }`,
  );

  const wanted = image(service, version);
  const fixed = await tellPush(world, bo, () =>
    commitAndPush(bo, {
      message: `Pin ${service} ${version}, and drop the privileges`,
      files: { [path]: deployment(service, { image: wanted, replicas: 2 }) },
    }),
  );
  const live = whenLive(world, 'production', service, fixed, wanted);
  const { headDecision: second } = await readJudged(world, 'production', fixed.commit);
  expectAllowed(second);
  narrator.line(decisionLine('shop/production', second));
  await tell(world, live);
}

/** A commit that nobody signed is denied wherever it would go; signed, it is allowed. */
export async function unsignedThenSigned(world: World): Promise<void> {
  const { carol } = world.repository.team;
  const { narrator } = world;
  const files = {
    'environments/staging/payment/config.yaml': configMap('payment', {
      LOG_LEVEL: 'debug',
      PORT: '8080',
      RETRIES: '3',
    }),
  };
  const before = await readEnvironment(world, 'staging');
  const unsigned = await tellPush(world, carol, () =>
    commitAndPush(carol, { message: 'Retry payments three times', files, sign: false }),
  );
  const judged = await readJudged(world, 'staging', unsigned.commit);
  narrator.line(decisionLine('shop/staging', judged.headDecision));
  expectThat(
    judged.headDecision.outcome === 'deny',
    `an unsigned commit was not denied but: ${judged.headDecision.outcome}`,
  );
  expectThat(
    judged.headDecision.violations.some(({ commit, rule }) => commit === unsigned.commit || rule.includes('signed')),
    'no violation names the unsigned commit',
  );
  expectThat(judged.approved === before.approved, 'staging moved to an unsigned commit');

  // The old commit was never approved, so replacing it rewrites nothing that counts.
  const signed = await tellPush(world, carol, () =>
    commitAndPush(carol, { message: 'Retry payments three times', files, amend: true }, { force: true }),
  );
  const { headDecision } = await readJudged(world, 'staging', signed.commit);
  expectAllowed(headDecision);
  narrator.line(decisionLine('shop/staging', headDecision));
  await readJudged(world, 'production', signed.commit);
}

/** Throws away an approved commit by force. Resolves to what gives it back. */
export async function rewriteHistory(world: World): Promise<() => Promise<void>> {
  const { ann, bo } = world.repository.team;
  const { narrator } = world;
  await catchUp(ann);
  const before = await readEnvironment(world, 'production');
  const tip = await ann.clone.head();
  expectThat(before.approved === tip, `shop/production is at ${before.approved}, the branch at ${tip}`);
  await catchUp(bo);
  // Back to Ann's commit: what it deploys was allowed once, so nothing but the rewriting can be wrong with it.
  await bo.clone.rewind('HEAD~3');
  const rewritten = await tellPush(world, bo, () =>
    commitAndPush(
      bo,
      { message: 'Clean up', files: { 'README.md': '# shop\n\nNothing to see here.\n' }, amend: true },
      { force: true },
    ),
  );
  const judged = await readJudged(world, 'production', rewritten.commit);
  narrator.line(decisionLine('shop/production', judged.headDecision));
  expectThat(
    judged.headDecision.outcome === 'deny',
    `rewritten history was not denied but: ${judged.headDecision.outcome}`,
  );
  expectThat(
    judged.headDecision.change?.push?.kind === 'forced',
    `the push was seen as ${judged.headDecision.change?.push?.kind}`,
  );
  expectThat(judged.approved === tip, 'production left its approved commit');
  narrator.line({
    mark: 'fact',
    word: 'kept',
    text: `shop/production stays at ${short(judged.approved)}; the push is entry ${judged.headDecision.change.push.index} of the log, kind "${judged.headDecision.change.push.kind}"`,
  });
  return async () => {
    await tellPush(world, ann, async () => {
      await ann.clone.forcePush('origin', `${tip}:main`);
      return { commit: tip, at: performance.now() };
    });
    const { headDecision } = await readJudged(world, 'production', tip);
    expectAllowed(headDecision);
    narrator.line(decisionLine('shop/production', headDecision));
    await readJudged(world, 'staging', tip);
    if (!world.cluster) return;
    const compared = await compareInventory(world);
    narrator.line({
      mark: 'fact',
      word: 'compared',
      text: `after all this, ${count(compared, 'live object')} in the cluster: each names a commit and a logged allow`,
    });
  };
}

/** Pushes, then tells what the server has now. */
async function tellPush(world: World, member: Member, push: () => Promise<Pushed>): Promise<Pushed> {
  const pushed = await push();
  const [tip] = (await member.clone.git('ls-remote', 'origin', 'refs/heads/main')).split('\t');
  expectThat(tip === pushed.commit, `the server has ${tip} after the push of ${pushed.commit}`);
  const [subject, committer] = (await member.clone.git('log', '-1', '--format=%s%x09%cn', tip)).split('\t');
  world.narrator.line({
    mark: 'fact',
    word: 'pushed',
    text: `the server's main is ${short(tip)} "${subject}", committed by ${committer}`,
    values: { commit: tip, subject, committer },
  });
  world.narrator.waiting('the decision');
  return pushed;
}

/** Tells what is live, where there is a cluster. */
async function tell(world: World, live: Promise<Line> | null): Promise<void> {
  if (live) world.narrator.line(await live);
}

function expectAllowed(decision: ReadDecision): void {
  const why = decision.violations.map(({ rule, message }) => `${rule}: ${message}`).join('; ');
  expectThat(decision.outcome === 'allow', `not allowed but ${decision.outcome}: ${decision.error?.message ?? why}`);
}
