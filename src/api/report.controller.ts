import { Controller, Get, Inject, NotFoundException, Param, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Readable } from 'node:stream';
import { managementFormats, reportFormats, type ReportFormat } from '../report/export-entry.js';
import {
  parseNothing,
  parseOptionalSampling,
  parsePopulationQuery,
  parseSampling,
  requireOnce,
} from '../report/population-query.js';
import type { PopulationQuery } from '../report/population.js';
import type { Queries } from '../report/queries.js';
import type { LoggedReports, RunningExport } from '../report/reports.js';
import { type Authority, placesOf, reachOf } from '../review/authority.js';
import { authorityOf, requireReach } from './context.js';
import { governanceWithin, KnownNames } from './known-names.js';
import { QUERIES, REPORTS, STATE, type ServiceState } from './state.js';

const TYPES: Readonly<Record<ReportFormat, string>> = {
  csv: 'text/csv; charset=utf-8; header=present',
  jsonl: 'application/jsonl',
};

/** Listings for auditors. What is in one is told by the entry that is logged before its first byte, and by the header of the answer. */
@Controller('reports')
export class ReportController {
  constructor(
    @Inject(REPORTS) private readonly reports: LoggedReports,
    @Inject(QUERIES) private readonly queries: Queries,
    @Inject(STATE) private readonly state: Pick<ServiceState, 'controls' | 'holdings'>,
  ) {}

  @Get('changes.:format')
  async changes(
    @Param('format') format: string,
    @Query() { seed, sample, ...words }: Record<string, string | undefined>,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    if (!isOneOf(reportFormats, format)) throw new NotFoundException();
    const by = authorityOf(request);
    const query = parsePopulationQuery(words);
    const sampling = parseOptionalSampling({ seed, sample });
    await this.#allow(by, query);
    await send(reply, await this.reports.changes(query, format, by, sampling), TYPES[format], `changes.${format}`);
  }

  /** Every leaf, and what those leaves name that are of repositories and environments within reach. */
  @Get('evidence.:format')
  async evidence(
    @Param('format') format: string,
    @Query() words: Record<string, string | undefined>,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    if (format !== 'zip') throw new NotFoundException();
    parseNothing(words);
    const by = authorityOf(request);
    const reach = reachOf(by, 'export')?.everywhere ? undefined : placesOf(by, 'export');
    await send(reply, await this.reports.evidence(reach, by), 'application/zip', 'evidence.zip');
  }

  @Get('vsa.:format')
  async summaries(
    @Param('format') format: string,
    @Query() words: Record<string, string | undefined>,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    if (format !== 'jsonl') throw new NotFoundException();
    const by = authorityOf(request);
    const query = parsePopulationQuery(words);
    await this.#allow(by, query);
    await send(reply, await this.reports.summaries(query, by), TYPES[format], 'vsa.jsonl');
  }

  @Get('management.:format')
  async management(
    @Param('format') format: string,
    @Query() { seed, sample, ...words }: Record<string, string | undefined>,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    if (!isOneOf(managementFormats, format)) throw new NotFoundException();
    const sampling = parseSampling({ seed, sample });
    const by = authorityOf(request);
    const query = parsePopulationQuery(words);
    await this.#allow(by, query);
    const whole = await this.reports.management(query, format, sampling, by);
    const body = format === 'json' ? JSON.stringify(whole) : Buffer.from(await this.reports.print(whole));
    await reply
      .type(format === 'pdf' ? 'application/pdf' : 'application/json')
      .header('cache-control', 'no-store')
      .header('content-disposition', `attachment; filename="management.${format}"`)
      .header('countersign-export', JSON.stringify(whole.manifest))
      .send(body);
  }

  @Get('oscal.:format')
  async oscal(
    @Param('format') format: string,
    @Query() { controls, ...words }: Record<string, string | undefined>,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    if (format !== 'json') throw new NotFoundException();
    requireOnce({ controls });
    const by = authorityOf(request);
    const query = parsePopulationQuery(words);
    await this.#allow(by, query);
    const { manifest, document } = await this.reports.oscal(query, controls, by);
    await reply
      .type('application/oscal+json')
      .header('cache-control', 'no-store')
      .header('content-disposition', 'attachment; filename="assessment-results.json"')
      .header('countersign-export', JSON.stringify(manifest))
      .send(JSON.stringify(document));
  }

  /** A listing is complete or not there at all: nobody gets one that leaves out, unsaid, what they may not see, or of a name that is none. */
  async #allow(by: Authority, query: PopulationQuery): Promise<void> {
    requireReach(by, 'export', query.repository, query.environment);
    const reach = reachOf(by, 'export');
    if (reach)
      await new KnownNames(this.queries.within(reach), governanceWithin(reach, this.state)).requirePlaces(query);
  }
}

async function send(reply: FastifyReply, running: RunningExport, type: string, name: string): Promise<void> {
  const stream = Readable.from(running.text).once('close', () => void running.close());
  await reply
    .type(type)
    .header('cache-control', 'no-store')
    .header('content-disposition', `attachment; filename="${name}"`)
    .header('countersign-export', JSON.stringify(running.manifest))
    .send(stream);
}

function isOneOf<T extends string>(formats: readonly T[], format: string): format is T {
  return (formats as readonly string[]).includes(format);
}
