import { Args, Context, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import type { LoggedEntry } from '../audit/entry.js';
import { strongest } from '../report/evidence-of-drift.js';
import type { Filters } from '../report/queries.js';
import type {
  CommitRecord,
  DecisionRecord,
  DriftRecord,
  FaultRecord,
  LiveObjectRecord,
  RunRecord,
} from '../review/records.js';
import { connect, type Connection, type PageArguments } from './connection.js';
import type { ApiContext } from './context.js';

// What happened in targets: objects, runs, drift, and what went wrong.

@Resolver('LiveObject')
export class LiveObjectResolver {
  @Query('objects')
  objects(
    @Args() args: PageArguments & { filter?: Filters['liveObject'] },
    @Context() context: ApiContext,
  ): Promise<Connection<LiveObjectRecord>> {
    return connect(context, 'liveObject', args);
  }

  @ResolveField('commitId')
  commitId(@Parent() { commit }: LiveObjectRecord): string {
    return commit;
  }

  @ResolveField('commit')
  commit(
    @Parent() { repository, commit }: LiveObjectRecord,
    @Context() { loaders }: ApiContext,
  ): Promise<CommitRecord | null> {
    return loaders.commit.load({ repository, id: commit });
  }

  @ResolveField('decision')
  decision(
    @Parent() { decision }: LiveObjectRecord,
    @Context() { loaders }: ApiContext,
  ): Promise<DecisionRecord | null> {
    return loaders.decisionAt.load(decision);
  }

  @ResolveField('decisionIndex')
  decisionIndex(@Parent() { decision }: LiveObjectRecord): number {
    return decision;
  }
}

@Resolver('Run')
export class RunResolver {
  @Query('runs')
  runs(
    @Args() args: PageArguments & { filter?: Filters['run'] },
    @Context() context: ApiContext,
  ): Promise<Connection<RunRecord>> {
    return connect(context, 'run', args);
  }

  @Query('run')
  run(@Args('id') id: string, @Context() { loaders }: ApiContext): Promise<RunRecord | null> {
    return loaders.run.load(id);
  }

  @ResolveField('decision')
  decision(@Parent() { decision }: RunRecord, @Context() { loaders }: ApiContext): Promise<DecisionRecord | null> {
    return loaders.decision.load(decision);
  }

  @ResolveField('startedEntry')
  startedEntry(@Parent() { startedIndex }: RunRecord, @Context() context: ApiContext): MaybeEntry {
    return entryAt(startedIndex, context);
  }

  @ResolveField('finishedEntry')
  finishedEntry(@Parent() { finishedIndex }: RunRecord, @Context() context: ApiContext): MaybeEntry {
    return entryAt(finishedIndex, context);
  }
}

@Resolver('Drift')
export class DriftResolver {
  @Query('drift')
  drift(
    @Args() args: PageArguments & { filter?: Filters['drift'] },
    @Context() context: ApiContext,
  ): Promise<Connection<DriftRecord>> {
    return connect(context, 'drift', args);
  }

  @ResolveField('strength')
  strength(@Parent() drift: DriftRecord): string | null {
    return strongest(drift)?.strength ?? null;
  }

  @ResolveField('entry')
  entry(@Parent() { index }: DriftRecord, @Context() context: ApiContext): MaybeEntry {
    return entryAt(index, context);
  }

  @ResolveField('run')
  run(@Parent() { run }: DriftRecord, @Context() { loaders }: ApiContext): Promise<RunRecord | null> | null {
    return run === null ? null : loaders.run.load(run);
  }
}

@Resolver('Fault')
export class FaultResolver {
  @Query('faults')
  faults(
    @Args() args: PageArguments & { filter?: Filters['fault'] },
    @Context() context: ApiContext,
  ): Promise<Connection<FaultRecord>> {
    return connect(context, 'fault', args);
  }

  @ResolveField('entry')
  entry(@Parent() { index }: FaultRecord, @Context() context: ApiContext): MaybeEntry {
    return entryAt(index, context);
  }
}

type MaybeEntry = Promise<LoggedEntry | null> | null;

function entryAt(index: number | null, { loaders }: ApiContext): MaybeEntry {
  return index === null ? null : loaders.entry.load(index);
}
