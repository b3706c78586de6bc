import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { startTethered, tether } from './tethered.js';

const program = ['/bin/sh', '-c', 'echo up $$; exec sleep 60'] as const;

async function isAlive(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  return status !== null && !status.includes(') Z ');
}

async function gone(pid: number): Promise<boolean> {
  for (let i = 0; i < 600 && (await isAlive(pid)); i++) await sleep(100);
  return !(await isAlive(pid));
}

describe('a tethered program', () => {
  it('tells its lines and ends when stopped', async () => {
    const lines: string[] = [];
    const tethered = startTethered(program[0], program.slice(1), (line) => lines.push(line));
    while (lines.length === 0) await sleep(10);
    const pid = Number(lines[0].split(' ')[1]);
    expect(await isAlive(pid)).toBe(true);
    await tethered.stop();
    expect(tethered.exited).toBe(true);
    expect(await gone(pid)).toBe(true);
  });

  it('is seen to have ended when it ends by itself', async () => {
    const tethered = startTethered('/bin/sh', ['-c', 'echo last words >&2; exit 3'], () => {});
    while (!tethered.exited) await sleep(10);
    expect(tethered.lastLines()).toBe('last words');
    await tethered.kill();
  });

  it('ends when the process that started it is killed with SIGKILL', async () => {
    // The tether is a pipe that only the parent holds open: here the parent is another process that we can kill.
    const parent = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `const { spawn } = await import('node:child_process');
         const child = spawn('/bin/sh', ['-c', ${JSON.stringify(tether)}, 'tether', ...${JSON.stringify(program)}],
           { stdio: ['pipe', 'inherit', 'inherit', 'pipe'], detached: true });
         setInterval(() => child.pid, 1000);`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(line.toString().split(' ')[1]);
    expect(await isAlive(pid)).toBe(true);
    parent.kill('SIGKILL');
    expect(await gone(pid)).toBe(true);
  });
});
