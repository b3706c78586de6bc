import { open as openFile, stat } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Trust } from '../audit/policy-file.js';
import type { Verification, VerifyOptions } from '../audit/verify.js';
import type { PopulationCheck } from '../report/check-population.js';
import type { SummaryCheck } from '../report/check-summaries.js';
import { CountersignError } from '../errors.js';
import { jsonLine, print, printable, outputOption } from './output.js';
import { follow } from './follow.js';

interface Population {
  readonly file: string;
  readonly size: number;
  readonly sampled: boolean;
  readonly check: PopulationCheck;
}

interface Options {
  readonly trust: string;
  readonly checkpoint?: string;
  readonly population?: string;
  readonly vsa?: string;
  readonly since?: string;
  readonly repository?: readonly string[];
  readonly anchors?: string;
  readonly replay: boolean;
  readonly output: 'text' | 'json';
}

export function register(program: Command): void {
  program
    .command('verify')
    .description('check exported evidence: no database, no network')
    .argument('<path>', 'an evidence bundle (.zip), a folder of tiles, or the .tlog-proof of an entry')
    .requiredOption('--trust <file>', "the log's vkey, or a C2SP tlog-policy with witnesses and a quorum")
    .option(
      '--population <file>',
      'a listing of countersign report: it must be complete, and its rows those of the log',
    )
    .option(
      '--vsa <file>',
      'verification summaries of countersign export --format vsa: each must be of a decision in the log',
    )
    .option('--since <file>', 'a checkpoint kept from earlier: the log must have grown from it')
    .option('--checkpoint <file>', 'the same')
    .option(
      '--repository <clone...>',
      'clones of governed repositories, whose refs/countersign/checkpoints were fetched',
    )
    .option('--anchors <ref>', 'where the checkpoints are in those clones, if not there')
    .option('--no-replay', 'do not judge the decisions again')
    .addOption(outputOption('text', 'json'))
    .addHelpText(
      'after',
      '\nExit code: 0 valid, 1 invalid, 2 could not tell. See docs/log.md for what each line means.',
    )
    .action(verify);
}

async function verify(path: string, options: Options): Promise<void> {
  const { parseTrust } = await import('../audit/policy-file.js');
  const { noEvidence, verifyEvidence } = await import('../audit/verify.js');
  const trust = parseTrust(await readText(options.trust), options.trust);
  if (options.since !== undefined && options.checkpoint !== undefined)
    throw new CountersignError('usage', '--since and --checkpoint are the same: give one of them');
  const since = options.since ?? options.checkpoint;
  const earlier = since === undefined ? undefined : await readText(since);
  const anchors = await readAnchored(options, trust.log.name);
  const started = performance.now();
  const progress = follow('entries');
  const evaluator = options.replay ? await openEvaluator() : undefined;
  let verification: Verification;
  let population: Population | undefined;
  let summaries: SummaryCheck | undefined;
  try {
    if (await isProof(path)) return await verifyProof(path, trust, options.output);
    const evidence = await open(path);
    try {
      if (options.population !== undefined) population = await openPopulation(options.population);
      if (options.vsa !== undefined) summaries = await openSummaries(options.vsa, trust.log.name);
      verification = await verifyEvidence(evidence, {
        trust,
        ...(evaluator ? { evaluator } : {}),
        ...(earlier === undefined ? {} : { earlier }),
        ...(anchors === undefined ? {} : { anchors }),
        ...hearing(population, summaries),
        progress: progress.at,
      });
      if (population) verification = await withPopulation(population, verification);
      if (summaries) verification = await withSummaries(summaries, options.vsa!, verification);
    } finally {
      progress.end();
      await population?.check.close();
      await summaries?.close();
      await evidence.close();
    }
  } catch (error) {
    // What cannot be opened as evidence is invalid, not unknown: whoever expected evidence must not take it for such.
    if (!(error instanceof CountersignError) || error.code !== 'bundle-invalid') throw error;
    verification = noEvidence(trust, error);
  } finally {
    await evaluator?.close();
  }
  const seconds = Math.round((performance.now() - started) / 100) / 10;
  await (options.output === 'json' ? printJson : printText)(verification, seconds);
  process.exitCode = verification.fault ? 1 : 0;
}

/** A listing, to be held against evidence while that is proven. */
async function openPopulation(file: string): Promise<Population> {
  const [{ PopulationCheck }, { readListing, readManifest }] = await Promise.all([
    import('../report/check-population.js'),
    import('../adapters/evidence/listing.js'),
  ]);
  const manifest = await readManifest(file);
  const sampled = manifest.sample !== undefined;
  return {
    file,
    size: manifest.size,
    sampled,
    check: new PopulationCheck(manifest, readListing(file, manifest.format)),
  };
}

async function withPopulation(
  { file, size, sampled, check }: Population,
  verified: Verification,
): Promise<Verification> {
  if (verified.fault) return verified;
  try {
    const { population, listed } = await check.end(verified.size);
    const claim = sampled
      ? `the ${listed} changes in ${file} are those that its seed draws of all ${population} decisions`
      : `all ${population} decisions that ${file} was asked for are in it`;
    const detail = `each with its leaf hash, none besides, of entries 0 … ${size - 1}`;
    return { ...verified, proven: [...verified.proven, { claim, detail }] };
  } catch (error) {
    if (!(error instanceof CountersignError) || error.code !== 'bundle-invalid') throw error;
    return { ...verified, fault: error };
  }
}

function hearing(population: Population | undefined, summaries: SummaryCheck | undefined): Pick<VerifyOptions, 'hear'> {
  if (!population || !summaries) {
    const [only] = [population?.check ?? summaries];
    return only ? { hear: (entry) => only.add(entry) } : {};
  }
  return {
    hear: async (entry) => {
      await population.check.add(entry);
      await summaries.add(entry);
    },
  };
}

async function openSummaries(file: string, origin: string): Promise<SummaryCheck> {
  const [{ SummaryCheck: Check }, { readLines }] = await Promise.all([
    import('../report/check-summaries.js'),
    import('../adapters/evidence/listing.js'),
  ]);
  return new Check(origin, () => readLines(file));
}

async function withSummaries(check: SummaryCheck, file: string, verified: Verification): Promise<Verification> {
  if (verified.fault) return verified;
  try {
    const count = await check.end();
    const claim = `${count} verification ${count === 1 ? 'summary' : 'summaries'} in ${file}`;
    return { ...verified, proven: [...verified.proven, { claim, detail: 'each says what its decision in the log says, by a key that the log names' }] }; // prettier-ignore
  } catch (error) {
    if (!(error instanceof CountersignError) || error.code !== 'bundle-invalid') throw error;
    return { ...verified, fault: error };
  }
}

async function readAnchored(
  { repository, anchors: ref }: Options,
  origin: string,
): Promise<{ where: string; note: string }[] | undefined> {
  if (repository === undefined) {
    if (ref === undefined) return undefined;
    throw new CountersignError('usage', '--anchors says where in a clone', {
      remedy: 'Name the clone with --repository',
    });
  }
  const { readAnchors, CHECKPOINTS_REF } = await import('../adapters/git/checkpoints-ref.js');
  const found: { where: string; note: string }[] = [];
  for (const clone of repository) {
    const anchors = await readAnchors(clone, origin, ref);
    if (anchors.length === 0) {
      throw new CountersignError('usage', `${clone} holds no checkpoint of ${origin} on ${ref ?? CHECKPOINTS_REF}`, {
        remedy: 'Fetch that ref again, or leave this clone out',
      });
    }
    found.push(...anchors.map(({ commit, note }) => ({ where: `${clone}, commit ${commit.slice(0, 12)}`, note })));
  }
  return found;
}

async function printJson({ fault, ...verification }: Verification, seconds: number): Promise<void> {
  const wrong = fault && {
    code: fault.code,
    message: fault.message,
    ...(fault.place ? { file: fault.place.file } : {}),
  };
  await print(jsonLine({ valid: !fault, ...verification, ...(wrong ? { fault: wrong } : {}), seconds }));
}

async function printText({ proven, onItsWord, fault, origin }: Verification, seconds: number): Promise<void> {
  const width = Math.max(0, ...proven.map(({ claim }) => claim.length)) + 2;
  for (const { claim, detail } of proven) await print(printable(`  ${claim.padEnd(width)}✓  ${detail}`));
  if (fault) {
    await print(printable(`  ✗ ${fault.sentence}`));
    await print(
      printable(
        `invalid   do not rely on this evidence of ${origin}; what is ticked above was proven before the fault`,
      ),
    );
    return;
  }
  await print('  not proven by this file, and resting on the word of the service:');
  for (const claim of onItsWord) await print(printable(`    ${claim}`));
  await print(`valid   verified in ${seconds} s, nothing was sent anywhere`);
}

async function open(path: string): ReturnType<typeof import('../adapters/evidence/zip.js').openZip> {
  let folder: boolean;
  try {
    folder = (await stat(path)).isDirectory();
  } catch (cause) {
    throw new CountersignError('usage', `${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
  if (folder) return (await import('../adapters/evidence/folder.js')).openFolder(path);
  return (await import('../adapters/evidence/zip.js')).openZip(path);
}

async function openEvaluator(): Promise<import('../policy/evaluator.js').Evaluator> {
  const { RegoEvaluator } = await import('../adapters/opa/evaluator.js');
  return new RegoEvaluator();
}

/** The proof of one entry says by its first line what it is. */
async function isProof(path: string): Promise<boolean> {
  const { tlogProofHeader } = await import('../audit/tlog-proof.js');
  const file = await openFile(path, 'r').catch(() => undefined);
  try {
    const found = await file?.read(Buffer.alloc(tlogProofHeader.length), 0, tlogProofHeader.length, 0);
    return found?.buffer.toString('latin1') === tlogProofHeader;
  } catch {
    return false; // a folder
  } finally {
    await file?.close();
  }
}

async function verifyProof(path: string, trust: Trust, output: Options['output']): Promise<void> {
  const { verifyTlogProof } = await import('../audit/tlog-proof.js');
  try {
    const { entry, checkpoint } = verifyTlogProof(await readText(path), trust);
    const { index, type, time, leafHash } = entry;
    const { origin, size } = checkpoint;
    if (output === 'json') return await print(jsonLine({ valid: true, origin, size, index, type, time, leafHash }));
    await print(printable(`  entry ${index}, ${type} of ${time}, is in the log of ${size} entries  ✓  ${origin}`));
    await print('valid   nothing was sent anywhere');
  } catch (error) {
    if (!(error instanceof CountersignError)) throw error;
    process.exitCode = 1;
    if (output === 'json') return await print(jsonLine({ valid: false, fault: { code: error.code, message: error.message } })); // prettier-ignore
    await print(printable(`  ✗ ${error.message}`));
    await print('invalid   do not rely on this proof');
  }
}

/** Keys, checkpoints and proofs: what is longer is none, and is not read to its end. */
const maxTextBytes = 1_000_000;

async function readText(file: string): Promise<string> {
  const bytes = Buffer.alloc(maxTextBytes + 1);
  let length = 0;
  try {
    await using opened = await openFile(file, 'r');
    // A pipe gives it in pieces.
    for (let read = 1; read > 0 && length < bytes.length; length += read)
      read = (await opened.read(bytes, length, bytes.length - length)).bytesRead;
  } catch (cause) {
    throw new CountersignError('usage', `${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
  if (length > maxTextBytes)
    throw new CountersignError(
      'usage',
      `${file} is longer than ${maxTextBytes} bytes: it is no key, checkpoint or proof`,
    );
  return bytes.toString('utf8', 0, length);
}
