import { Args, Context, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import type { LoggedEntry } from '../audit/entry.js';
import type { Filters } from '../report/queries.js';
import type { ExceptionRecord } from '../review/records.js';
import { connect, type Connection, type PageArguments } from './connection.js';
import type { ApiContext } from './context.js';

@Resolver('Exception')
export class ExceptionResolver {
  @Query('exceptions')
  exceptions(
    @Args() args: PageArguments & { filter?: Filters['exception'] },
    @Context() context: ApiContext,
  ): Promise<Connection<ExceptionRecord>> {
    return connect(context, 'exception', args);
  }

  @ResolveField('expired')
  expired(@Parent() { expires }: ExceptionRecord): boolean {
    return expires !== null && Date.parse(expires) <= Date.now();
  }

  @ResolveField('uses')
  async uses(@Parent() { id }: ExceptionRecord, @Context() { loaders }: ApiContext): Promise<number> {
    return (await loaders.usesOf.load(id)).decisions;
  }

  @ResolveField('excused')
  async excused(@Parent() { id }: ExceptionRecord, @Context() { loaders }: ApiContext): Promise<number> {
    return (await loaders.usesOf.load(id)).excused;
  }

  @ResolveField('entry')
  entry(@Parent() { index }: ExceptionRecord, @Context() { loaders }: ApiContext): Promise<LoggedEntry | null> | null {
    return index === null ? null : loaders.entry.load(index);
  }
}
