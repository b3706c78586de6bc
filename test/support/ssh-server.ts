import { execFile, spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface SshServer {
  readonly port: number;
  /** Whom it lets in: whoever runs the tests. */
  readonly user: string;
  /** One line for known_hosts. */
  readonly hostKey: string;
  close(): Promise<void>;
}

/** Debian's sshd on a port of loopback, under a configuration and keys of its own; lets in who holds one of `keys`. */
export async function startSshServer(dir: string, keys: readonly string[]): Promise<SshServer> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  // sshd that root starts insists on this place to put itself away in.
  if (process.getuid?.() === 0) await mkdir('/run/sshd', { recursive: true, mode: 0o755 });
  const hostKeyFile = join(dir, 'host');
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', hostKeyFile]);
  await writeFile(join(dir, 'authorized_keys'), keys.map((key) => `restrict ${key}\n`).join(''), { mode: 0o600 });
  const port = await freePort();
  const config = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${hostKeyFile}`,
    `AuthorizedKeysFile ${join(dir, 'authorized_keys')}`,
    'PidFile none',
    'StrictModes no',
    'UsePAM no',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'PermitRootLogin prohibit-password',
    'PermitUserRC no',
    'AcceptEnv GIT_PROTOCOL',
  ];
  await writeFile(join(dir, 'sshd_config'), `${config.join('\n')}\n`);
  const child = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', join(dir, 'sshd_config')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const exit = new Promise<void>((ended) => child.once('close', () => ended()));
  for (let tries = 0; !(await answers(port)); tries++) {
    if (tries > 100 || child.exitCode !== null) throw new Error(`sshd does not start: ${said}`);
    await new Promise((later) => setTimeout(later, 50));
  }
  const [type, key] = (await readFile(`${hostKeyFile}.pub`, 'utf8')).split(' ');
  return {
    port,
    user: userInfo().username,
    hostKey: `[127.0.0.1]:${port} ${type} ${key?.trim()}`,
    close: () => {
      child.kill('SIGTERM');
      return exit;
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('data', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
