import { text } from 'node:stream/consumers';
import { resolve } from 'node:path';
import { Readable } from 'node:stream';
import { type Command, Option } from 'commander';
import { CountersignError } from '../errors.js';
import { organisationOptions } from './organisation.js';
import { jsonLine, print, printable, outputOption } from './output.js';
import type { PushedRef, PushExamination, PushOptions } from './pushed-refs.js';

interface Options extends PushOptions {
  readonly output: 'text' | 'json';
}

/** Bytes of the list of pushed refs; a push of a hundred thousand refs fits. */
const LIST_LIMIT = 16 * 1024 * 1024;

export function register(program: Command): void {
  const hook = program
    .command('hook')
    .description('judge a push inside a Git server, as its pre-receive or update hook');
  options(hook.command('pre-receive').description('judge all refs of a push; the list is read from standard input'))
    .addHelpText('after', HELP)
    .action(async (chosen: Options) => {
      const { parsePushedRefs } = await import('./pushed-refs.js');
      await judge(parsePushedRefs(await standardInput()), chosen);
    });
  options(hook.command('update').description('judge one ref of a push'))
    .argument('<ref>', 'full name of the ref')
    .argument('<old>', 'the commit that it was at')
    .argument('<new>', 'the commit that it would be at')
    .addHelpText('after', HELP)
    .action(async (ref: string, old: string, now: string, chosen: Options) => {
      const { pushedRef } = await import('./pushed-refs.js');
      await judge([pushedRef(ref, old, now)], chosen);
    });
}

const HELP = `
Install it in a bare repository:  printf '#!/bin/sh\\nexec countersign hook pre-receive\\n' > hooks/pre-receive; chmod +x hooks/pre-receive
Settings, signers and policy are read before the push, so that it cannot choose its own.
Exit code: 0 accepted, 1 refused, 2 could not tell, which git takes for refused.`;

function options(command: Command): Command {
  return organisationOptions(command)
    .option('--governance <ref>', 'whose countersign.yaml, signers and policy count; by default the branch of HEAD')
    .option('--policies <folder>', "in place of the repository's policies; starter rules stay as the profile says")
    .addOption(
      new Option('--profile <profile>', 'in place of the profile in countersign.yaml').choices([
        'baseline',
        'strict',
        'off',
      ]),
    )
    .addOption(outputOption('text', 'json'));
}

async function standardInput(): Promise<string> {
  let size = 0;
  const bounded = async function* (): AsyncGenerator<Buffer> {
    for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > LIST_LIMIT)
        throw new CountersignError('usage', `the list of pushed refs passed ${LIST_LIMIT} bytes`, {
          remedy: 'Push fewer refs at once',
        });
      yield chunk;
    }
  };
  return text(Readable.from(bounded()));
}

async function judge(pushed: readonly PushedRef[], chosen: Options): Promise<void> {
  const started = performance.now();
  const [{ examinePush }, { startEngine }] = await Promise.all([import('./pushed-refs.js'), import('./engine.js')]);
  const engine = await startEngine(1);
  try {
    const gitDir = resolve(process.env['GIT_DIR'] ?? '.');
    const found = await examinePush(gitDir, pushed, chosen, engine, process.env);
    await tell(found, pushed, Math.round(performance.now() - started) / 1000, chosen.output);
  } finally {
    await engine.close();
  }
}

async function tell(found: PushExamination, pushed: readonly PushedRef[], seconds: number, output: Options['output']) {
  const { outcomeOf } = await import('../report/verdict.js');
  const { verdicts, refusals, notes } = found;
  const report = { verdicts, notes, seconds, version: '' };
  const outcome = refusals.length > 0 ? 'deny' : outcomeOf(report);
  process.exitCode = outcome === 'allow' ? 0 : outcome === 'error' ? 2 : 1;
  if (output === 'json') {
    const { jsonReport } = await import('../report/json.js');
    await print(jsonLine({ ...(jsonReport(report) as object), outcome, refusals }));
    return;
  }
  if (verdicts.length > 0 || notes.length > 0) {
    const { textReport } = await import('../report/text.js');
    await print(textReport(report, { color: false, printable }));
  }
  for (const refusal of refusals) await print(printable(`✗ refused   ${refusal}`));
  if (outcome === 'allow') return;
  const from = pushed.find((one) => one.old !== null)?.old?.slice(0, 7);
  const how = from ? ` (git rebase -i ${from}, or git commit --amend for the last commit)` : '';
  await print(
    refusals.length > 0
      ? '\npush refused by Countersign; nothing was changed'
      : `\npush refused by Countersign; nothing was changed. Mend your commits${how}, then push again`,
  );
}
