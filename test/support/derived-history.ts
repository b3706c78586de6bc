import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';

const LINE_FEED = 0x0a;

/**
 * Makes a bare repository at `target` of exactly `commits` commits out of a shorter history, always the same one: the history is
 * played again and again, each time in a folder of its own (`tenant-1/`, `tenant-2/` …) and with names of its own, on top of what
 * was there before. So commits change what real ones change, merges included, no two files are alike by accident, and the tree
 * grows as that of a repository does which more and more teams use.
 */
export async function deriveHistory(source: string, target: string, commits: number): Promise<void> {
  const exported = execFileSync('git', ['--git-dir', source, 'fast-export', 'HEAD'], { maxBuffer: 2 ** 30 });
  execFileSync('git', ['init', '--quiet', '--bare', '--initial-branch=main', target]);
  const child = spawn('git', ['--git-dir', target, 'fast-import', '--quiet'], { stdio: ['pipe', 'ignore', 'inherit'] });
  const ended = once(child, 'close');
  let tip: string | undefined;
  for (let round = 1, made = 0; made < commits; round++) {
    const derived = oneRound(exported, round, tip, commits - made);
    made += derived.commits;
    tip = derived.tip;
    for (const chunk of derived.stream) if (!child.stdin.write(chunk)) await once(child.stdin, 'drain');
  }
  child.stdin.end(`reset refs/heads/main\nfrom ${tip}\n`);
  const [code] = (await ended) as [number];
  if (code !== 0) throw new Error(`git fast-import ended with ${code}`);
  // As a server that was cloned from would have it.
  const settings = ['-c', 'pack.threads=2', '-c', 'repack.writeBitmaps=false'];
  execFileSync('git', [...settings, '--git-dir', target, 'repack', '-adfq', '--window=10', '--depth=50']);
}

interface Round {
  readonly stream: (string | Buffer)[];
  readonly commits: number;
  readonly tip: string;
}

/** One pass over an exported stream; see git-fast-import(1) for what its lines mean. Every mark gets the round's number before it. */
function oneRound(exported: Buffer, round: number, onto: string | undefined, limit: number): Round {
  const stream: (string | Buffer)[] = [];
  const mark = (written: string): string => `:${round}${written.slice(1).padStart(7, '0')}`;
  let [commits, tip, blob, parents] = [0, '', false, false];
  for (let at = 0; at < exported.length;) {
    const end = exported.indexOf(LINE_FEED, at);
    const line = exported.toString('utf8', at, end);
    at = end + 1;
    const space = line.indexOf(' ');
    const [word, rest] = [line.slice(0, space), line.slice(space + 1)];
    if (line === 'blob' || word === 'commit') {
      if (word === 'commit' && ++commits > limit) return { stream, commits: limit, tip };
      blob = line === 'blob';
      parents = false;
      stream.push(blob ? 'blob\n' : 'commit refs/heads/building\n');
    } else if (word === 'mark') {
      stream.push(`mark ${mark(rest)}\n`);
      if (!blob) tip = mark(rest);
    } else if (word === 'data') {
      const content = exported.subarray(at, at + Number(rest));
      at += content.length;
      const own = blob ? renamed(content, round) : content;
      stream.push(`data ${own.length}\n`, own, '\n');
      // The first commit of a round stands on the last of the one before, as its message ends the place for parents.
      if (
        !blob &&
        !exported
          .toString('latin1', at, at + 6)
          .trimStart()
          .startsWith('from') &&
        onto
      ) {
        stream.push(`from ${onto}\n`);
        parents = true;
      }
    } else if (word === 'from' || word === 'merge') {
      if (!parents || word === 'merge') stream.push(`${word} ${mark(rest)}\n`);
    } else if (word === 'M') {
      const [mode = '', id = '', ...path] = rest.split(' ');
      stream.push(`M ${mode} ${mark(id)} ${inFolder(path.join(' '), round)}\n`);
    } else if (word === 'D') {
      stream.push(`D ${inFolder(rest, round)}\n`);
    } else if (word === 'author' || word === 'committer') stream.push(`${line}\n`);
    else if (line !== '' && word !== 'reset') throw new Error(`fast-export wrote ${line.slice(0, 80)}`);
  }
  return { stream, commits, tip };
}

function inFolder(path: string, round: number): string {
  return path.startsWith('"') ? `"tenant-${round}/${path.slice(1)}` : `tenant-${round}/${path}`;
}

/** The names of objects, and so every document, get the round's number. */
function renamed(content: Buffer, round: number): Buffer {
  const text = content.toString('latin1');
  return Buffer.from(text.replaceAll(/^( *name: [^\s'"{}]+)$/gm, `$1-${round}`), 'latin1');
}
