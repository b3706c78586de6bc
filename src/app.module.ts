import { Module, type DynamicModule } from '@nestjs/common';
import { GraphQLModule } from '@nestjs/graphql';
import { MercuriusDriver, type MercuriusDriverConfig } from '@nestjs/mercurius';
import type { FastifyRequest } from 'fastify';
import type { PersistedQueryProvider } from 'mercurius';
import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { AuthController } from './api/auth.controller.js';
import { type SigningIn, SignInController } from './api/sign-in.controller.js';
import { SessionResolver } from './api/session.resolver.js';
import { ApprovalResolver, ReviewDutyResolver } from './api/approval.resolver.js';
import { BlameResolver } from './api/blame.resolver.js';
import { ChangeResolver } from './api/change.resolver.js';
import { DriftResolver, FaultResolver, LiveObjectResolver, RunResolver } from './api/cluster.resolver.js';
import { CommitResolver } from './api/commit.resolver.js';
import type { ApiContext } from './api/context.js';
import { DecisionResolver } from './api/decision.resolver.js';
import { EntryResolver } from './api/entry.resolver.js';
import { EnvironmentResolver, ReturnResolver } from './api/environment.resolver.js';
import { createContext, requireFields } from './api/field-access.js';
import { formatErrors } from './api/graphql-errors.js';
import { HealthController } from './api/health.controller.js';
import { type KnownQueries, queriesByHash } from './api/known-queries.js';
import { type Introspection, mayIntrospect, requireIntrospection } from './api/introspection.js';
import { checkLimits, limits, refuseForeignText, refuseSubscription } from './api/limits.js';
import { AdviceResolver } from './api/advice.resolver.js';
import { ExceptionResolver } from './api/exception.resolver.js';
import { ImpactResolver } from './api/impact.resolver.js';
import { ControlResolver } from './api/control.resolver.js';
import { PromotionResolver } from './api/promotion.resolver.js';
import { LogController } from './api/log.controller.js';
import { MetricsController } from './api/metrics.controller.js';
import { plainResolvers } from './api/plain-resolvers.js';
import { ReportController } from './api/report.controller.js';
import { BranchProtectionResolver, PushResolver, RepositoryResolver, TipResolver } from './api/repository.resolver.js';
import {
  LogResolver,
  OrphanResolver,
  ServiceResolver,
  InstanceResolver,
  TargetResolver,
} from './api/service.resolver.js';
import { StatisticsResolver } from './api/statistics.resolver.js';
import type { Access } from './api/access.js';
import { AccessResolver } from './api/access.resolver.js';
import { ApproveResolver, type Approving } from './api/approve.resolver.js';
import { VerifyPageController } from './api/verify-page.controller.js';
import {
  APPROVING,
  LOG_FILES,
  METRICS,
  QUERIES,
  REPORTS,
  SIGN_IN,
  STATE,
  STATISTICS,
  type LogFiles,
  type ServiceState,
} from './api/state.js';
import type { Queries } from './report/queries.js';
import type { LoggedReports } from './report/reports.js';
import type { Statistics } from './report/statistics.js';

export interface AppParts {
  readonly state: ServiceState;
  readonly queries: Queries;
  readonly statistics: Statistics;
  readonly reports: LoggedReports;
  readonly logFiles: LogFiles;
  readonly metrics: Registry;
  readonly logger: Logger;
  readonly access: Access;
  readonly approving: Approving;
  readonly signing: SigningIn;
  /** The only queries that are answered, where there are such. */
  readonly known?: KnownQueries;
  /** Who may ask for the schema itself: callers unless given. */
  readonly introspection?: Introspection;
}

const resolvers = [
  ServiceResolver,
  TargetResolver,
  InstanceResolver,
  LogResolver,
  EntryResolver,
  RepositoryResolver,
  TipResolver,
  BranchProtectionResolver,
  PushResolver,
  EnvironmentResolver,
  ReturnResolver,
  CommitResolver,
  ChangeResolver,
  DecisionResolver,
  LiveObjectResolver,
  OrphanResolver,
  BlameResolver,
  RunResolver,
  DriftResolver,
  FaultResolver,
  AdviceResolver,
  ApprovalResolver,
  ExceptionResolver,
  ImpactResolver,
  PromotionResolver,
  ControlResolver,
  ReviewDutyResolver,
  StatisticsResolver,
  ApproveResolver,
  AccessResolver,
  SessionResolver,
];

/** The only wiring of what answers over HTTP. */
@Module({})
export class AppModule {
  static of(parts: AppParts): DynamicModule {
    const { state, statistics, reports, logFiles, metrics, approving, signing } = parts;
    const provided = [
      { provide: STATE, useValue: state },
      { provide: STATISTICS, useValue: statistics },
      { provide: REPORTS, useValue: reports },
      { provide: QUERIES, useValue: parts.queries },
      { provide: METRICS, useValue: metrics },
      { provide: LOG_FILES, useValue: logFiles },
      { provide: APPROVING, useValue: approving },
      { provide: SIGN_IN, useValue: signing },
    ];
    return {
      module: AppModule,
      imports: [GraphQLModule.forRoot<MercuriusDriverConfig>(graphql(parts))],
      controllers: [
        HealthController,
        AuthController,
        SignInController,
        MetricsController,
        LogController,
        ReportController,
        VerifyPageController,
      ],
      providers: [...provided, ...resolvers],
    };
  }
}

/** The contract that the API keeps. */
export function schemaText(): string {
  return readFileSync(new URL('./api/schema.graphql', import.meta.url), 'utf8');
}

function graphql({
  state,
  queries,
  logger,
  access,
  known,
  introspection = 'callers',
}: AppParts): MercuriusDriverConfig & { driver: typeof MercuriusDriver } {
  return {
    driver: MercuriusDriver,
    typeDefs: schemaText(),
    resolvers: plainResolvers,
    path: '/graphql',
    jit: 1,
    cache: limits.kept,
    graphiql: false,
    allowBatchedQueries: false,
    graphql: { parseOptions: { maxTokens: limits.tokens } },
    context: (req: FastifyRequest) => createContext(req, queries, state),
    persistedQueryProvider: queriesByHash(known) as PersistedQueryProvider,
    errorFormatter: (execution, { reply }) =>
      formatErrors(execution, reply?.log ?? logger, mayIntrospect(introspection, reply?.request?.authority)),
    hooks: {
      preParsing: async (_schema, source) => {
        refuseForeignText(source);
        known?.require(source);
      },
      preExecution: async (schema, document, context, variables) => {
        refuseSubscription(document);
        checkLimits(schema, document, variables ?? {});
        requireIntrospection(introspection, document, context as unknown as ApiContext);
        await requireFields(access, schema, document, context as unknown as ApiContext);
      },
    },
  };
}
