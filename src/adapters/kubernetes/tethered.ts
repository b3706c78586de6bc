import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** A child process that cannot outlive this one. */
export interface Tethered {
  readonly exited: boolean;
  /** The last lines it wrote, for an error message. */
  lastLines(): string;
  /** SIGTERM, SIGKILL after 5 seconds; resolves when it is gone. */
  stop(): Promise<void>;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** SIGSTOP and SIGCONT, for example. */
  signal(name: NodeJS.Signals): Promise<void>;
}

// A shell stands between us and the program and reads a pipe that only we hold open: when we die, even of SIGKILL, the kernel
// closes it and the shell ends the program. The program's process id comes back on descriptor 3.
export const tether = `
exec 4<&0 </dev/null
"$@" 3>&- 4<&- &
child=$!
echo $child >&3
exec 3>&-
(
  cat <&4 >/dev/null
  kill -TERM $child 2>/dev/null
  i=0
  while [ $i -lt 50 ] && kill -0 $child 2>/dev/null; do sleep 0.1; i=$((i + 1)); done
  kill -KILL $child 2>/dev/null
) >/dev/null 2>&1 &
watcher=$!
exec 4<&-
wait $child
status=$?
kill -KILL $watcher # its process id may be another program's by the time the pipe closes
exit $status
`;

/** Runs in a session of its own: Ctrl-C in the terminal reaches us, and we end it in order. */
export function startTethered(file: string, args: readonly string[], onLine: (line: string) => void): Tethered {
  const shell = spawn('/bin/sh', ['-c', tether, 'tether', file, ...args], {
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    detached: true,
  });
  const last: string[] = [];
  for (const stream of [shell.stdout, shell.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      if (last.push(line) > 20) last.shift();
      onLine(line);
    });
  }
  // A pipe breaks when the shell is gone first: its end is what `gone` reports.
  shell.stdin.on('error', () => {});
  let exited = false;
  const gone = new Promise<void>((resolve) => {
    shell.once('error', (error) => {
      last.push(error.message);
      exited = true;
      resolve();
    });
    shell.once('exit', () => {
      exited = true;
      shell.stdin.destroy();
      resolve();
    });
  });
  const child = new Promise<number>((resolve) => {
    shell.stdio[3]?.once('data', (text: Buffer) => resolve(Number(text.toString())));
    void gone.then(() => resolve(0));
  });
  return {
    get exited() {
      return exited;
    },
    lastLines: () => last.join('\n'),
    async stop() {
      shell.stdin.end();
      await gone;
    },
    async kill() {
      await this.signal('SIGKILL');
      await gone;
    },
    async signal(name) {
      const id = await child;
      if (!exited && id > 0) process.kill(id, name);
    },
  };
}
